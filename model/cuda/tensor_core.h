// The inputs of products on tensor cores, of feature maps as Format stores them and of kernels in float32: how they lie in
// shared memory, so that loading a product's meets no bank twice. The products themselves, and which lane gives and has what, are in
// model/cuda/platform.h.
//
// Numbers are stored in words of 32 bits: one of TF32, or two of 16 bits that follow each other along the
// depth. A product takes 8 words of depth.
#ifndef PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_
#define PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_

#include <cstdint>
#include <type_traits>

#include "model/cuda/kernel_support.h"
#include "model/cuda/number_format.h"
#include "model/cuda/platform.h"
#include "model/precision.h"

namespace protopage {

// TF32: float32 with 10 bits of fraction.
struct Tf32Core {
  using Format = Float32Format;
  static constexpr int kPerWord = 1;
  // Words from one row of a to the next, for 32 words: those of a product lie in 32 banks.
  static constexpr int kRowWords = 36;

  // 4 numbers of a row of a.
  __device__ static void StoreFour(const Pack<float, 4>& values, uint32_t* to) {
    StorePack(to, Words({values}));
  }

  // b of so many columns, by rows.
  template <int Cols>
  __host__ __device__ static constexpr int WordsB(int depth) {
    return depth * (Cols + 8);
  }
  template <int Cols>
  __device__ static int IndexB(int word, int col) {
    return word * (Cols + 8) + col;
  }
  template <int Cols>
  __device__ static void StoreB(float value, int row, int col, uint32_t* b) {
    b[IndexB<Cols>(row, col)] = ToTf32Bits(value);
  }

  // The words of 4 columns, of kPerWord rows along the depth.
  __device__ static Pack<uint32_t, 4> Words(const Pack<float, 4> (&rows)[kPerWord]) {
    Pack<uint32_t, 4> words;
    for (int l = 0; l < 4; ++l) words.v[l] = ToTf32Bits(rows[0].v[l]);
    return words;
  }

  __device__ static void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                     float (&sums)[4]) {
    MultiplyAddTf32(a, b, sums);
  }
};

// Format: Bf16Format or Fp16Format.
template <typename StoredFormat>
struct HalfCore {
  using Format = StoredFormat;
  static constexpr int kPerWord = 2;
  static constexpr int kRowWords = 20;  // For 16 words.

  __device__ static void StoreFour(const Pack<uint16_t, 4>& values, uint32_t* to) {
    Pack<uint32_t, 2> words;
    for (int l = 0; l < 2; ++l) words.v[l] = Word(values.v[2 * l], values.v[2 * l + 1]);
    StorePack(to, words);
  }

  // b by columns, as a word holds two rows of one.
  template <int Cols>
  __host__ __device__ static constexpr int WordsB(int) {
    return Cols * kRowWords;
  }
  template <int Cols>
  __device__ static int IndexB(int word, int col) {
    return col * kRowWords + word;
  }
  template <int Cols>
  __device__ static void StoreB(float value, int row, int col, uint32_t* b) {
    reinterpret_cast<uint16_t*>(b)[2 * IndexB<Cols>(row / 2, col) + row % 2] = Format::Round(value);
  }

  __device__ static Pack<uint32_t, 4> Words(const Pack<uint16_t, 4> (&rows)[kPerWord]) {
    Pack<uint32_t, 4> words;
    for (int l = 0; l < 4; ++l) words.v[l] = Word(rows[0].v[l], rows[1].v[l]);
    return words;
  }

  __device__ static void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                     float (&sums)[4]) {
    if constexpr (std::is_same_v<Format, Bf16Format>) {
      MultiplyAddBf16(a, b, sums);
    } else {
      MultiplyAddFp16(a, b, sums);
    }
  }

 private:
  __device__ static uint32_t Word(uint16_t first, uint16_t second) {
    return static_cast<uint32_t>(first) | static_cast<uint32_t>(second) << 16;
  }
};

// Returns body(Core()) of the one for a precision other than float32, for which there is none.
template <typename Body>
cudaError_t WithCore(Precision precision, const Body& body) {
  switch (precision) {
    case Precision::kTf32:
      return body(Tf32Core());
    case Precision::kBf16:
      return body(HalfCore<Bf16Format>());
    case Precision::kFp16:
      return body(HalfCore<Fp16Format>());
    case Precision::kFloat32:
      break;
  }
  return cudaErrorInvalidValue;
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_
