// The products of a warp on tensor cores, emulated by shuffles, with the fragments of CUDA: lane l, with
// g = l / 4 and q = l % 4, gives words (g, q), (g + 8, q), (g, q + 4) and (g + 8, q + 4) of a's rows and
// (q, g) and (q + 4, g) of b's columns, and has the sums (g, 2q), (g, 2q + 1), (g + 8, 2q) and
// (g + 8, 2q + 1).
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_

#include <cstdint>

#include "model/cuda/emulation/device.h"

namespace protopage {
namespace emulation {

// Multiply(x, y) is the product of two words.
template <typename Multiply>
void MultiplyAddWords(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4],
                      const Multiply& multiply) {
  constexpr unsigned kAll = 0xFFFFFFFFu;
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, quarter = lane % 4;
  for (int word = 0; word < 8; ++word) {
    const int half = word / 4, holder = word % 4;
    const uint32_t a0 = __shfl_sync(kAll, a[2 * half], group * 4 + holder);
    const uint32_t a1 = __shfl_sync(kAll, a[2 * half + 1], group * 4 + holder);
    const uint32_t b0 = __shfl_sync(kAll, b[half], 2 * quarter * 4 + holder);
    const uint32_t b1 = __shfl_sync(kAll, b[half], (2 * quarter + 1) * 4 + holder);
    sums[0] += multiply(a0, b0);
    sums[1] += multiply(a0, b1);
    sums[2] += multiply(a1, b0);
    sums[3] += multiply(a1, b1);
  }
}

template <typename Float>
float PairProduct(uint32_t x, uint32_t y, const Float& to_float) {
  const auto low = [](uint32_t word) { return static_cast<uint16_t>(word); };
  const auto high = [](uint32_t word) { return static_cast<uint16_t>(word >> 16); };
  return to_float(low(x)) * to_float(low(y)) + to_float(high(x)) * to_float(high(y));
}

}  // namespace emulation

inline void MultiplyAddTf32(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(
      a, b, sums, [](uint32_t x, uint32_t y) { return FromTf32Bits(x) * FromTf32Bits(y); });
}
inline void MultiplyAddBf16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(a, b, sums, [](uint32_t x, uint32_t y) {
    return emulation::PairProduct(x, y, FromBf16Bits);
  });
}
inline void MultiplyAddFp16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(a, b, sums, [](uint32_t x, uint32_t y) {
    return emulation::PairProduct(x, y, FromHalfBits);
  });
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_
