#include "protopage/sampling/class_sampler.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "protopage/base/check.h"
#include "protopage/base/keyed_permutation.h"
#include "protopage/base/random.h"

namespace protopage {

ClassSampler::ClassSampler(uint64_t seed, const ClassSet* classes, int64_t positive_classes)
    : seed_(seed), classes_(classes), positive_classes_(positive_classes) {
  PROTOPAGE_CHECK(positive_classes >= 0 && positive_classes <= classes->size());
}

std::vector<ClassId> UniformClassSampler::Draw(int64_t step) const {
  RandomStream random(seed_, RandomPurpose::kClassSampler, step);
  return SampleMembers(random, *classes_, positive_classes_, /*excluded=*/{});
}

ShuffledClassSampler::ShuffledClassSampler(uint64_t seed, const ClassSet* classes,
                                           int64_t positive_classes)
    : ClassSampler(seed, classes, positive_classes) {
  PROTOPAGE_CHECK(positive_classes >= 1);
}

std::vector<ClassId> ShuffledClassSampler::Draw(int64_t step) const {
  const int64_t epoch_steps = classes_->size() / positive_classes_;
  const KeyedPermutation order(RandomKey(seed_, RandomPurpose::kClassSampler),
                               static_cast<uint32_t>(step / epoch_steps), classes_->size());
  const int64_t first = step % epoch_steps * positive_classes_;
  std::vector<ClassId> drawn(positive_classes_);
  for (int64_t i = 0; i < positive_classes_; ++i) drawn[i] = classes_->Member(order.At(first + i));
  return drawn;
}

std::vector<ClassId> PowerLawClassSampler::Draw(int64_t step) const {
  const int64_t n = classes_->size();
  const KeyedPermutation class_of_rank(RandomKey(seed_, RandomPurpose::kClassSampler), 0, n);
  RandomStream random(seed_, RandomPurpose::kClassSampler, step);
  std::vector<ClassId> drawn;
  drawn.reserve(positive_classes_);
  std::set<int64_t> ranks;
  for (int64_t i = 0; i < positive_classes_; ++i) {
    // P((n + 1)^u < r + 2) = log(r + 2) / log(n + 1).
    const double u = static_cast<double>(random.Below(int64_t{1} << 53)) * 0x1p-53;
    const double x = std::pow(static_cast<double>(n + 1), u);
    int64_t rank = std::clamp<int64_t>(static_cast<int64_t>(x) - 1, 0, n - 1);
    while (!ranks.insert(rank).second) rank = (rank + 1) % n;
    drawn.push_back(classes_->Member(class_of_rank.At(rank)));
  }
  return drawn;
}

}  // namespace protopage
