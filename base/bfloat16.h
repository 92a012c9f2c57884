// bfloat16: the upper half of a float32, as the bits of a uint16: 8 bits of exponent, 7 of
// mantissa.
//
// Floats are rounded to the nearest, ties to even; magnitudes above the largest become infinity. A
// NaN becomes a quiet NaN with the upper bits of its payload.
#ifndef PROTOPAGE_BASE_BFLOAT16_H_
#define PROTOPAGE_BASE_BFLOAT16_H_

#include <cstdint>

#include "protopage/base/float_bits.h"

namespace protopage {

inline uint16_t FloatToBfloat16(float x) {
  const uint32_t bits = FloatBits(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float Bfloat16ToFloat(uint16_t bits) { return FloatFromBits(uint32_t{bits} << 16); }

}  // namespace protopage

#endif  // PROTOPAGE_BASE_BFLOAT16_H_
