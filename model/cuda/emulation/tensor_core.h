// The products of a warp on tensor cores, emulated, with the fragments of CUDA. Lane l, with g = l
// / 4 and q = l % 4, holds words (g, q), (g + 8, q), (g, q + 4) and (g + 8, q + 4) of the rows of
// a, words (q, g) and (q + 4, g) of the columns of b, and the sums (g, 2q), (g, 2q + 1), (g + 8,
// 2q) and (g + 8, 2q + 1). Also the loads of such fragments from shared memory.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_TENSOR_CORE_H_

#include <cstdint>

#include "protopage/model/cuda/emulation/device.h"

namespace protopage {
namespace emulation {

// The numbers in a word: two, or one and 0.
struct Numbers {
  float first, second;
};
inline float Product(const Numbers& x, const Numbers& y) {
  return x.first * y.first + x.second * y.second;
}

// The inputs that the threads of the block provide to an operation of their warp. There are two
// sets, used alternately: lanes may already provide inputs of the next operation while others still
// read those of this one, but no lane is two operations ahead.
template <typename T>
struct LaneInputs {
  T of_thread[2][kMaxThreadsPerBlock];
  unsigned char turn[kMaxThreadsPerBlock];

  // The inputs of the calling thread's warp. The caller writes its own one before MeetWarp().
  T* NextOfWarp() {
    const unsigned thread = threadIdx.x;
    turn[thread] ^= 1;
    return of_thread[turn[thread]] + (thread - thread % warpSize);
  }
};
struct Fragments {
  Numbers a[4], b[2];
};
inline LaneInputs<Fragments> all_fragments;

// to_numbers(word) returns the numbers in a word. Blocks are (threads, 1, 1). Accesses no memory of
// kernels, so that its many accesses need not be reported (access_hooks.h).
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

// The row of 4 words that each thread of the block points to.
inline LaneInputs<const uint32_t*> all_rows;

// word(rows, group, quarter) returns the word that a lane gets of a matrix with rows rows[0..7].
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
