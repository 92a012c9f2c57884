#include "protopage/base/float16.h"

#include "protopage/base/float_bits.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace protopage {

uint16_t FloatToHalf(float x) {
  const uint32_t sign = FloatBits(x) >> 16 & 0x8000;
  const uint32_t magnitude = FloatBits(x) & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00 | (magnitude >> 13 & 0x1ff);  // NaN.
  } else if (magnitude >= 0x47800000) {
    half = 0x7c00;  // 65536 and more.
  } else if (magnitude >= 0x38800000) {
    // 2^-14 and more: the exponent's bias falls by 112. Half of the last place, less one in its
    // last bit unless the result is odd, carries where it must; from 65520 on into infinity.
    const uint32_t odd = magnitude >> 13 & 1;
    half = (magnitude - (112u << 23) + 0xfff + odd) >> 13;
  } else {
    // The last place of a float from 1/2 on is 2^-24: the sum rounds to it.
    half = FloatBits(FloatFromBits(magnitude) + 0.5f) - FloatBits(0.5f);
  }
  return static_cast<uint16_t>(sign | half);
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  uint32_t bits;
  if (magnitude > 0x7c00) {
    bits = 0x7fc00000 | magnitude << 13;  // NaN.
  } else if (magnitude == 0x7c00) {
    bits = 0x7f800000;
  } else if (magnitude >= 0x400) {
    bits = (magnitude << 13) + (112u << 23);
  } else {
    bits = FloatBits(static_cast<float>(magnitude) * 0x1p-24f);
  }
  return FloatFromBits(sign | bits);
}

void FloatsToHalves(const float* x, int64_t n, uint16_t* halves) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(halves + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  }
#endif
  for (; i < n; ++i) halves[i] = FloatToHalf(x[i]);
}

void HalvesToFloats(const uint16_t* halves, int64_t n, float* x) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= n; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i));
    _mm256_storeu_ps(x + i, _mm256_cvtph_ps(eight));
  }
#endif
  for (; i < n; ++i) x[i] = HalfToFloat(halves[i]);
}

}  // namespace protopage
