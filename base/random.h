// Random numbers as a function of their use. A stream is keyed by (seed, purpose, a, b), usually
// (seed, purpose, step, index), and then read in order. No state outlives a step, so a resumed run
// draws the same numbers.
//
//   RandomStream random(seed, RandomPurpose::kAugment, step, image);
//   const bool flip = random.Below(2) == 1;
//   const float angle = random.Uniform(-10.0f, 10.0f);
#ifndef PROTOPAGE_BASE_RANDOM_H_
#define PROTOPAGE_BASE_RANDOM_H_

#include <cstdint>
#include <vector>

#include "protopage/base/philox.h"

namespace protopage {

// The use of random numbers. The values are part of the results of a run: append, never renumber.
enum class RandomPurpose : uint32_t {
  kTest = 0,
  kParameterInit = 1,  // a = position of the parameter in the net
  kPrototypeInit = 2,  // a = class
  kClassSampler = 3,   // a = step
  kClassSelector = 4,  // a = step
  kImageSampler = 5,   // a = step
  kAugment = 6,        // a = step, b = image of the batch
  kDropout = 7,        // a = position of the op in the net, b = step
  kRender = 8,         // a = class, b = image (the fixed images of rendered sources)
  kSplit = 9,          // a = class or group
  kSynthetic = 10,
  kIndex = 11,
};

// The Philox key of a stream's (seed, purpose).
uint64_t RandomKey(uint64_t seed, RandomPurpose purpose);

class RandomStream {
 public:
  RandomStream(uint64_t seed, RandomPurpose purpose, uint64_t a, uint32_t b = 0)
      : key_(RandomKey(seed, purpose)), high_(a), low_(uint64_t{b} << 32) {}

  uint32_t Next();
  uint64_t Next64();
  // A uniform integer in [0, n), n > 0: Lemire's multiply-shift without rejection, whose bias of
  // n / 2^64 is too small to measure.
  uint64_t Below(uint64_t n);
  // Uniform in [0, 1).
  float Uniform() { return UnitFloat(Next()); }
  float Uniform(float low, float high) { return low + (high - low) * Uniform(); }
  // Standard normal (Box-Muller on two draws), with the same bits on every machine.
  float Normal();
  // The same by log and cos of the C library, for files whose unwritten values were drawn so. The
  // last bit of about one value in 10^7 differs from Normal, and between versions of the library.
  float NormalByLibm();

 private:
  uint64_t key_;
  uint64_t high_;
  uint64_t low_;
  PhiloxBlock block_{};
  int used_ = 4;
};

// `count` distinct integers of [0, n) in random order, count <= n, in O(count) time and memory for
// every n (Floyd's algorithm, then a shuffle).
std::vector<int64_t> SampleWithoutReplacement(RandomStream& random, int64_t n, int64_t count);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_RANDOM_H_
