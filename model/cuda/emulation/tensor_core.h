// The products of a warp on tensor cores, emulated, with the fragments of CUDA: lane l, with
// g = l / 4 and q = l % 4, gives words (g, q), (g + 8, q), (g, q + 4) and (g + 8, q + 4) of a's
// rows and (q, g) and (q + 4, g) of b's columns, and has the sums (g, 2q), (g, 2q + 1), (g + 8, 2q)
// and (g + 8, 2q + 1). And the loads of such fragments from shared memory.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_

#include <cstdint>

#include "protopage/model/cuda/emulation/device.h"

namespace protopage {
namespace emulation {

// The numbers of a word: two, or one and 0.
struct Numbers {
  float first, second;
};
inline float Product(const Numbers& x, const Numbers& y) {
  return x.first * y.first + x.second * y.second;
}

// What each thread of the block gives, in turns: who is at the next operation may still be waited
// for by readers of this one, and nobody is two ahead.
template <typename T>
struct Given {
  T of_thread[2][kMaxThreadsPerBlock];
  unsigned char turn[kMaxThreadsPerBlock];

  // Those of the own warp; the own one is for the caller to write, before the warp meets.
  T* NextOfWarp() {
    const unsigned thread = threadIdx.x;
    turn[thread] ^= 1;
    return of_thread[turn[thread]] + (thread - thread % warpSize);
  }
};
struct Fragments {
  Numbers a[4], b[2];
};
inline Given<Fragments> all_fragments;

// to_numbers(word) are its numbers. Blocks are (threads, 1, 1). Of the memory of kernels it sees
// none, so that none of its many accesses needs to be told of (access_hooks.h).
template <typename ToNumbers>
__attribute__((no_sanitize_thread)) void MultiplyAddWords(const uint32_t (&a)[4],
                                                          const uint32_t (&b)[2], float (&sums)[4],
                                                          const ToNumbers& to_numbers) {
  const unsigned lane = threadIdx.x % warpSize, group = lane / 4, quarter = lane % 4;
  Fragments* const warp = all_fragments.NextOfWarp();
  for (int i = 0; i < 4; ++i) warp[lane].a[i] = to_numbers(a[i]);
  for (int i = 0; i < 2; ++i) warp[lane].b[i] = to_numbers(b[i]);
  MeetWarp({"mma", __FILE__, __LINE__});
  for (unsigned word = 0; word < 8; ++word) {
    const unsigned half = word / 4, holder = word % 4;
    const Fragments& of_row = warp[group * 4 + holder];
    const Numbers& b0 = warp[2 * quarter * 4 + holder].b[half];
    const Numbers& b1 = warp[(2 * quarter + 1) * 4 + holder].b[half];
    sums[0] += Product(of_row.a[2 * half], b0);
    sums[1] += Product(of_row.a[2 * half], b1);
    sums[2] += Product(of_row.a[2 * half + 1], b0);
    sums[3] += Product(of_row.a[2 * half + 1], b1);
  }
}

// The rows of 4 words that each thread of the block points to.
inline Given<const uint32_t*> all_rows;

// word(rows, i) is what the own lane gets of matrix i, whose 8 rows are rows[0] ... rows[7].
template <typename Word>
void LoadMatrixWords(const uint32_t* row, uint32_t (&words)[4], const Word& word) {
  const unsigned lane = threadIdx.x % warpSize;
  const uint32_t** const warp = all_rows.NextOfWarp();
  warp[lane] = row;
  MeetWarp({"ldmatrix", __FILE__, __LINE__});
  for (unsigned i = 0; i < 4; ++i) words[i] = word(warp + 8 * i, lane / 4, lane % 4);
}

template <typename ToFloat>
Numbers Halves(uint32_t word, const ToFloat& to_float) {
  return {to_float(static_cast<uint16_t>(word)), to_float(static_cast<uint16_t>(word >> 16))};
}

}  // namespace emulation

inline void LoadMatrices(const uint32_t* row, uint32_t (&words)[4]) {
  emulation::LoadMatrixWords(row, words,
                             [](const uint32_t* const* rows, unsigned group, unsigned quarter) {
                               return rows[group][quarter];
                             });
}
inline void LoadMatricesTransposed(const uint32_t* row, uint32_t (&words)[4]) {
  emulation::LoadMatrixWords(row, words,
                             [](const uint32_t* const* rows, unsigned group, unsigned quarter) {
                               const auto half = [&](unsigned of_row) {
                                 return rows[of_row][group / 2] >> 16 * (group % 2) & 0xffff;
                               };
                               return half(2 * quarter) | half(2 * quarter + 1) << 16;
                             });
}

inline void MultiplyAddTf32(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(a, b, sums, [](uint32_t word) {
    return emulation::Numbers{FromTf32Bits(word), 0.0f};
  });
}
inline void MultiplyAddBf16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(a, b, sums,
                              [](uint32_t word) { return emulation::Halves(word, FromBf16Bits); });
}
inline void MultiplyAddFp16(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&sums)[4]) {
  emulation::MultiplyAddWords(a, b, sums,
                              [](uint32_t word) { return emulation::Halves(word, FromHalfBits); });
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_
