// Philox4x32-10, the counter-based random number generator of Salmon et al., "Parallel Random
// Numbers: As Easy as 1, 2, 3" (SC 2011). It is a pure function from (key, counter) to 128 random
// bits, so that any thread or device can draw any element of any step with the same result.
//
// Plain C++ without headers of our own: device code includes it after defining
// PROTOPAGE_HOST_DEVICE.
#ifndef PROTOPAGE_BASE_PHILOX_H_
#define PROTOPAGE_BASE_PHILOX_H_

#include <cstdint>

#ifndef PROTOPAGE_HOST_DEVICE
#define PROTOPAGE_HOST_DEVICE
#endif

namespace protopage {

struct PhiloxBlock {
  uint32_t word[4];
};

PROTOPAGE_HOST_DEVICE constexpr PhiloxBlock Philox4x32(uint64_t key, uint64_t counter_high,
                                                       uint64_t counter_low) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low);
  uint32_t c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high);
  uint32_t c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return PhiloxBlock{{c0, c1, c2, c3}};
}

// Uniform in [0, 1): the top 24 bits, so every value is exact in float32.
PROTOPAGE_HOST_DEVICE constexpr float UnitFloat(uint32_t bits) {
  return static_cast<float>(bits >> 8) * (1.0f / 16777216.0f);
}

}  // namespace protopage

#endif  // PROTOPAGE_BASE_PHILOX_H_
