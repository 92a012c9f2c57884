// The inputs of products on tensor cores: how they lie in shared memory and get from there to the lanes of a warp. The products
// themselves, and which lane gives and has what, are in model/cuda/platform.h.
//
// Numbers lie in words of 32 bits: one of TF32, or two of 16 bits that follow each other. A product takes 8 words of
// depth. A matrix lies with its depth along its rows, as weights of PackedKernel and windows do:
//
//   LoadRows<Core>(a, row_words, words)        a [16, 8 words]
//   LoadColumns<Core>(b, row_words, 2 words)   b^T [16, 8 words]: of two products
//
// or with its depth from row to row, as positions of feature maps do:
//
//   Core::LoadDepthFirstRows(a, row_words, words)        a^T [kDepth, 16]
//   Core::LoadDepthFirstColumns(b, row_words, 2 words)   b [kDepth, 16]
//
// `row_words` from row to row, by which none of these loads meets a bank of shared memory twice: kRowWords<words>, and
// Core::DepthFirstRowWords(columns).
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
  // A weight as an input of products.
  using Weight = uint32_t;
  static constexpr int kPerWord = 1;
  static constexpr int kDepth = 8;

  __device__ static Weight Round(float x) { return ToTf32Bits(x); }
  // A word of a feature map as an input of products: it is rounded when it is used.
  __device__ static uint32_t Input(uint32_t word) { return ToTf32Bits(AsFloat(word)); }

  static constexpr int DepthFirstRowWords(int columns) { return columns + 8; }
  __device__ static void LoadDepthFirstRows(const uint32_t* a, int row_words,
                                            uint32_t (&words)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const uint32_t* const at = a + lane % 4 * row_words + lane / 4;
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) words[i] = Input(at[i / 2 * 4 * row_words + i % 2 * 8]);
  }
  __device__ static void LoadDepthFirstColumns(const uint32_t* b, int row_words,
                                               uint32_t (&words)[2][2]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const uint32_t* const at = b + lane % 4 * row_words + lane / 4;
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) words[i / 2][i % 2] = Input(at[i % 2 * 4 * row_words + i / 2 * 8]);
  }

  __device__ static void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                     float (&sums)[4]) {
    MultiplyAddTf32(a, b, sums);
  }

 private:
  __device__ static float AsFloat(uint32_t word) {
    float x;
    memcpy(&x, &word, sizeof(x));
    return x;
  }
};

// Format: Bf16Format or Fp16Format.
template <typename StoredFormat>
struct HalfCore {
  using Format = StoredFormat;
  using Weight = uint16_t;
  static constexpr int kPerWord = 2;
  static constexpr int kDepth = 16;

  __device__ static Weight Round(float x) { return Format::Round(x); }
  __device__ static uint32_t Input(uint32_t word) { return word; }

  static constexpr int DepthFirstRowWords(int columns) { return (columns + 8) / 2; }
  __device__ static void LoadDepthFirstRows(const uint32_t* a, int row_words,
                                            uint32_t (&words)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    LoadMatricesTransposed(a + (lane % 8 + lane / 16 * 8) * row_words + lane / 8 % 2 * 4, words);
  }
  __device__ static void LoadDepthFirstColumns(const uint32_t* b, int row_words,
                                               uint32_t (&words)[2][2]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    uint32_t loaded[4];
    LoadMatricesTransposed(b + (lane % 8 + lane / 8 % 2 * 8) * row_words + lane / 16 * 4, loaded);
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) words[i / 2][i % 2] = loaded[i];
  }

  __device__ static void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                     float (&sums)[4]) {
    if constexpr (std::is_same_v<Format, Bf16Format>) {
      MultiplyAddBf16(a, b, sums);
    } else {
      MultiplyAddFp16(a, b, sums);
    }
  }
};

template <int kWords>
constexpr int kRowWords = kWords + 4;

template <typename Core>
__device__ void LoadRows(const uint32_t* a, int row_words, uint32_t (&words)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LoadMatrices(a + lane % 16 * row_words + lane / 16 * 4, words);
  PROTOPAGE_UNROLL
  for (uint32_t& word : words) word = Core::Input(word);
}
// They are weights: already what products take.
__device__ inline void LoadColumns(const uint32_t* b, int row_words, uint32_t (&words)[2][2]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint32_t loaded[4];
  LoadMatrices(b + (lane % 8 + lane / 16 * 8) * row_words + lane / 8 % 2 * 4, loaded);
  PROTOPAGE_UNROLL
  for (int i = 0; i < 4; ++i) words[i / 2][i % 2] = loaded[i];
}

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
