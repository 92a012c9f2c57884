#include "sampling/class_sampler.h"

#include "base/check.h"
#include "base/keyed_permutation.h"
#include "base/random.h"

namespace protopage {

UniformClassSampler::UniformClassSampler(uint64_t seed, const ClassSet* classes,
                                         int64_t positive_classes)
    : seed_(seed), classes_(classes), positive_classes_(positive_classes) {
  PROTOPAGE_CHECK(positive_classes >= 0 && positive_classes <= classes->size());
}

std::vector<ClassId> UniformClassSampler::Draw(int64_t step) const {
  RandomStream random(seed_, RandomPurpose::kClassSampler, step);
  return SampleMembers(random, *classes_, positive_classes_, /*excluded=*/{});
}

ShuffledClassSampler::ShuffledClassSampler(uint64_t seed, const ClassSet* classes,
                                           int64_t positive_classes)
    : seed_(seed), classes_(classes), positive_classes_(positive_classes) {
  PROTOPAGE_CHECK(positive_classes >= 1 && positive_classes <= classes->size());
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

}  // namespace protopage
