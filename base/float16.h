// IEEE half precision, float16: 1 sign bit, 5 bits of exponent, 10 of mantissa, as the bits of a
// uint16.
//
//   std::vector<uint16_t> halves(n);
//   FloatsToHalves(floats.data(), n, halves.data());
//   HalvesToFloats(halves.data(), n, floats.data());
//
// Floats are rounded to the nearest half, ties to even, with a relative error of at most 2^-11 for
// magnitudes from 2^-14 to below 65520; a float that is a half is converted exactly. Magnitudes
// from 65520 on become infinity. Below 2^-14, halves are multiples of 2^-24, and magnitudes up to
// 2^-25 become zero. A NaN becomes a quiet NaN with the upper bits of its payload.
#ifndef PROTOPAGE_BASE_FLOAT16_H_
#define PROTOPAGE_BASE_FLOAT16_H_

#include <cstdint>

namespace protopage {

uint16_t FloatToHalf(float x);
float HalfToFloat(uint16_t half);

// The same for n values, by the processor's own instructions when compiled for them.
void FloatsToHalves(const float* x, int64_t n, uint16_t* halves);
void HalvesToFloats(const uint16_t* halves, int64_t n, float* x);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FLOAT16_H_
