#include "sampling/class_sampler.h"

#include "base/check.h"
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

}  // namespace protopage
