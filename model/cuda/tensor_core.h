// Loads the inputs of products on tensor cores from shared memory into the lanes of a warp. The
// products themselves, and the parts of the matrices that each lane holds, are in
// model/cuda/platform.h.
//
// Numbers are stored in words of 32 bits: one float32, or two consecutive 16-bit numbers. A product
// has a depth of 8 words. A matrix is stored with its depth along its rows, like windows and
// weights:
//
//   Core::Rows a = LoadRows<Core>(words, row_words)              a [16, 8 words]
//   LoadColumns<Core>(words, row_words, columns)                 b^T [16, 8 words] of two products
//
// or with its depth from row to row, like positions of feature maps:
//
//   Core::Rows a = LoadDepthFirstRows<Core>(words, row_words)    a^T [kDepth, 16]
//   LoadDepthFirstColumns<Core>(words, row_words, columns)       b [kDepth, 16]
//
// `row_words` is the distance between rows. With kRowWords<words>, or
// Core::DepthFirstRowWords(columns), no load accesses a bank of shared memory twice. Then
//
//   Core::MultiplyAdd(a, columns[0], sums)                       sums [16, 8] += a b
#ifndef PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_
#define PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_

#include <cstdint>
#include <type_traits>

#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/precision.h"

namespace protopage {

__device__ inline float FloatOfBits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

__device__ inline uint32_t BitsOfFloat(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}

// The inputs of one product that a lane holds.
struct RowsOfWords {
  uint32_t words[4];
};
struct ColumnsOfWords {
  uint32_t words[2];
};

// Depth-first loads of words of one number.
struct WordLayout {
  using Format = Float32Format;
  static constexpr int kPerWord = 1;
  static constexpr int kDepth = 8;

  static constexpr int DepthFirstRowWords(int columns) { return columns + 8; }
  __device__ static void LoadDepthFirstRows(const uint32_t* a, int row_words,
                                            uint32_t (&words)[4]) {
    const uint32_t* const at = OfLane(a, row_words);
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) words[i] = at[i / 2 * 4 * row_words + i % 2 * 8];
  }
  __device__ static void LoadDepthFirstColumns(const uint32_t* b, int row_words,
                                               uint32_t (&words)[4]) {
    const uint32_t* const at = OfLane(b, row_words);
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) words[i] = at[i % 2 * 4 * row_words + i / 2 * 8];
  }

 private:
  __device__ static const uint32_t* OfLane(const uint32_t* words, int row_words) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    return words + lane % 4 * row_words + lane / 4;
  }
};

// TF32: float32 with 10 bits of fraction. Inputs are rounded when they are loaded.
struct Tf32Core : WordLayout {
  // A packed weight.
  using Weight = uint32_t;
  __device__ static Weight ToWeight(float x) { return ToTf32Bits(x); }

  using Rows = RowsOfWords;
  using Columns = ColumnsOfWords;
  __device__ static Rows ToRows(const uint32_t (&words)[4]) {
    Rows rows;
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) rows.words[i] = ToTf32Bits(FloatOfBits(words[i]));
    return rows;
  }
  __device__ static Columns ToColumns(uint32_t first, uint32_t second) {
    return {{ToTf32Bits(FloatOfBits(first)), ToTf32Bits(FloatOfBits(second))}};
  }
  __device__ static void MultiplyAdd(const Rows& a, const Columns& b, float (&sums)[4]) {
    MultiplyAddTf32(a.words, b.words, sums);
  }
};

// float32 by three products of TF32: each number is split into two of 11 bits, and the product of
// the smaller parts, 2^-22 of the whole, is omitted. Tensor cores truncate their sums, so that
// these are kept short and accumulated outside: Ootomo and Yokota, "Recovering single precision
// accuracy from Tensor Cores while surpassing the FP32 theoretical peak performance" (2022).
// Infinities become NaN.
struct Float32Core : WordLayout {
  using Weight = float;
  __device__ static Weight ToWeight(float x) { return x; }

  struct Rows {
    uint32_t high[4], low[4];
  };
  struct Columns {
    uint32_t high[2], low[2];
  };
  __device__ static Rows ToRows(const uint32_t (&words)[4]) {
    Rows rows;
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) Split(words[i], &rows.high[i], &rows.low[i]);
    return rows;
  }
  __device__ static Columns ToColumns(uint32_t first, uint32_t second) {
    Columns columns;
    Split(first, &columns.high[0], &columns.low[0]);
    Split(second, &columns.high[1], &columns.low[1]);
    return columns;
  }
  __device__ static void MultiplyAdd(const Rows& a, const Columns& b, float (&sums)[4]) {
    float products[4] = {};
    MultiplyAddTf32(a.low, b.high, products);
    MultiplyAddTf32(a.high, b.low, products);
    MultiplyAddTf32(a.high, b.high, products);
    PROTOPAGE_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] += products[i];
  }

 private:
  // In integer arithmetic, to save instructions. The larger part is rounded to nearest. The smaller
  // one, at most half a unit in the last place of the larger, is truncated to 11 bits. A NaN may
  // get lost in the larger part, but not in the smaller.
  __device__ static void Split(uint32_t word, uint32_t* high, uint32_t* low) {
    constexpr uint32_t kKept = ~uint32_t{0x1fff};
    *high = (word + 0x1000) & kKept;
    *low = BitsOfFloat(FloatOfBits(word) - FloatOfBits(*high)) & kKept;
  }
};

// Format: Bf16Format or Fp16Format.
template <typename StoredFormat>
struct HalfCore {
  using Format = StoredFormat;
  using Weight = uint16_t;
  static constexpr int kPerWord = 2;
  static constexpr int kDepth = 16;

  __device__ static Weight ToWeight(float x) { return Format::Round(x); }

  using Rows = RowsOfWords;
  using Columns = ColumnsOfWords;
  __device__ static Rows ToRows(const uint32_t (&words)[4]) {
    return {{words[0], words[1], words[2], words[3]}};
  }
  __device__ static Columns ToColumns(uint32_t first, uint32_t second) { return {{first, second}}; }
  __device__ static void MultiplyAdd(const Rows& a, const Columns& b, float (&sums)[4]) {
    if constexpr (std::is_same_v<Format, Bf16Format>) {
      MultiplyAddBf16(a.words, b.words, sums);
    } else {
      MultiplyAddFp16(a.words, b.words, sums);
    }
  }

  static constexpr int DepthFirstRowWords(int columns) { return (columns + 8) / 2; }
  __device__ static void LoadDepthFirstRows(const uint32_t* a, int row_words,
                                            uint32_t (&words)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    LoadMatricesTransposed(a + (lane % 8 + lane / 16 * 8) * row_words + lane / 8 % 2 * 4, words);
  }
  __device__ static void LoadDepthFirstColumns(const uint32_t* b, int row_words,
                                               uint32_t (&words)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    LoadMatricesTransposed(b + (lane % 8 + lane / 8 % 2 * 8) * row_words + lane / 16 * 4, words);
  }
};

template <int kWords>
constexpr int kRowWords = kWords + 4;

template <typename Core>
__device__ typename Core::Rows LoadRows(const uint32_t* a, int row_words) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint32_t words[4];
  LoadMatrices(a + lane % 16 * row_words + lane / 16 * 4, words);
  return Core::ToRows(words);
}
template <typename Core>
__device__ void LoadColumns(const uint32_t* b, int row_words, typename Core::Columns* columns) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  uint32_t words[4];
  LoadMatrices(b + (lane % 8 + lane / 16 * 8) * row_words + lane / 8 % 2 * 4, words);
  columns[0] = Core::ToColumns(words[0], words[1]);
  columns[1] = Core::ToColumns(words[2], words[3]);
}

template <typename Core>
__device__ typename Core::Rows LoadDepthFirstRows(const uint32_t* a, int row_words) {
  uint32_t words[4];
  Core::LoadDepthFirstRows(a, row_words, words);
  return Core::ToRows(words);
}
template <typename Core>
__device__ void LoadDepthFirstColumns(const uint32_t* b, int row_words,
                                      typename Core::Columns* columns) {
  uint32_t words[4];
  Core::LoadDepthFirstColumns(b, row_words, words);
  columns[0] = Core::ToColumns(words[0], words[1]);
  columns[1] = Core::ToColumns(words[2], words[3]);
}

// Returns body(Core()) for the Core of a precision.
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
  return body(Float32Core());
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_TENSOR_CORE_H_
