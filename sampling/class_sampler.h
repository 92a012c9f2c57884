// ClassSampler: draws the positive classes of a step, which its images are drawn from.
//
//   UniformClassSampler sampler(seed, &with_images, /*positive_classes=*/10);
//   const std::vector<ClassId> positives = sampler.Draw(step);  // 10 distinct classes
//
// A draw is a function of (seed, step), so a resumed run draws the same classes.
#ifndef PROTOPAGE_SAMPLING_CLASS_SAMPLER_H_
#define PROTOPAGE_SAMPLING_CLASS_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "protopage/base/types.h"
#include "protopage/sampling/class_set.h"

namespace protopage {

// Thread-safe.
class ClassSampler {
 public:
  // `classes` must outlive the sampler and have at least `positive_classes` members (CHECKed).
  ClassSampler(uint64_t seed, const ClassSet* classes, int64_t positive_classes);
  virtual ~ClassSampler() = default;
  // Distinct classes in random order; always the same number of them.
  virtual std::vector<ClassId> Draw(int64_t step) const = 0;

 protected:
  const uint64_t seed_;
  const ClassSet* const classes_;
  const int64_t positive_classes_;
};

// Every member of `classes` is equally likely at every step, independently of other steps.
class UniformClassSampler : public ClassSampler {
 public:
  using ClassSampler::ClassSampler;
  std::vector<ClassId> Draw(int64_t step) const override;
};

// Epochs of floor(N / P) steps. Each goes through the members in another shuffled order, so that in
// an epoch no class is drawn twice, and all but N mod P of them are drawn once. The order takes no
// memory.
class ShuffledClassSampler : public ClassSampler {
 public:
  // positive_classes >= 1 (CHECKed).
  ShuffledClassSampler(uint64_t seed, const ClassSet* classes, int64_t positive_classes);
  std::vector<ClassId> Draw(int64_t step) const override;
};

// Zipf's law: a draw gives the r-th most frequent class, r from 0, with probability
// log((r + 2) / (r + 1)) / log(N + 1), about 1 / r. `seed` determines which class that is. Where a
// step draws a class again, it takes the next less frequent class that it has not drawn.
class PowerLawClassSampler : public ClassSampler {
 public:
  using ClassSampler::ClassSampler;
  std::vector<ClassId> Draw(int64_t step) const override;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_CLASS_SAMPLER_H_
