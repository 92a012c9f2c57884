// IEEE half precision, float16: 1 sign bit, 5 bits of exponent, 10 of mantissa, as the bits of a
// uint16.
//
//   std::vector<uint16_t> halves(n);
//   FloatsToHalves(floats.data(), n, halves.data());
//   HalvesToFloats(halves.data(), n, floats.data());  // Each within 2^-11 of itself, where above 2^-14.
//
// Floats are rounded to the nearest half, ties to even: so what comes from a half goes back to the
// same bits. Magnitudes from 65520 on become infinity, those up to 2^-25 zero; between, below
// 2^-14, halves are multiples of 2^-24. A NaN stays one, with the upper bits of its payload, and is
// made quiet.
#ifndef PROTOPAGE_BASE_FLOAT16_H_
#define PROTOPAGE_BASE_FLOAT16_H_

#include <cstdint>

namespace protopage {

uint16_t FloatToHalf(float x);
float HalfToFloat(uint16_t half);

// The same for n values, by the processor's own instructions where it has them.
void FloatsToHalves(const float* x, int64_t n, uint16_t* halves);
void HalvesToFloats(const uint16_t* halves, int64_t n, float* x);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FLOAT16_H_
