// The bits of a float32 as an integer, and back.
//
//   const uint32_t sign = FloatBits(-1.5f) >> 31;  // 1
//   const float one = FloatFromBits(0x3f800000);
#ifndef PROTOPAGE_BASE_FLOAT_BITS_H_
#define PROTOPAGE_BASE_FLOAT_BITS_H_

#include <cstdint>
#include <cstring>

namespace protopage {

inline uint32_t FloatBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

inline float FloatFromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FLOAT_BITS_H_
