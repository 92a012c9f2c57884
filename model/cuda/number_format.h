// NumberFormat: how feature maps and the inputs of products are stored on the device. Kernels
// compute in float32: LoadFloats widens the stored numbers, StoreFloats rounds to nearest, ties to
// even.
//
//   template <typename Format>
//   __global__ void ScaleKernel(typename Format::Stored* x, float by) {
//     Pack<float, 4> values = LoadFloats<Format, 4>(x);
//     for (float& value : values.v) value *= by;
//     StoreFloats<Format>(x, values);
//   }
//   ...
//   WithFormat(format, [&](auto stored) {
//     using Format = decltype(stored);
//     return Launch(stream, dim3(1), dim3(1), 0, ScaleKernel<Format>, StoredAs<Format>(x), 0.5f);
//   });
#ifndef PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_
#define PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_

#include <cstdint>
#include <initializer_list>

#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

enum class NumberFormat { kFloat32, kBf16, kFp16 };
inline int64_t BytesOf(NumberFormat format) { return format == NumberFormat::kFloat32 ? 4 : 2; }

struct Float32Format {
  using Stored = float;
  __device__ static float Round(float x) { return x; }
  __device__ static float Widen(float x) { return x; }
};
struct Bf16Format {
  using Stored = uint16_t;
  __device__ static uint16_t Round(float x) { return ToBf16Bits(x); }
  __device__ static float Widen(uint16_t bits) { return FromBf16Bits(bits); }
};
struct Fp16Format {
  using Stored = uint16_t;
  __device__ static uint16_t Round(float x) { return ToHalfBits(x); }
  __device__ static float Widen(uint16_t bits) { return FromHalfBits(bits); }
};

// Returns body(Format()) for the type of `format`.
template <typename Body>
auto WithFormat(NumberFormat format, const Body& body) {
  switch (format) {
    case NumberFormat::kBf16:
      return body(Bf16Format());
    case NumberFormat::kFp16:
      return body(Fp16Format());
    case NumberFormat::kFloat32:
      break;
  }
  return body(Float32Format());
}

// The number of elements of a pack, as a type.
template <int V>
struct Width {
  static constexpr int value = V;
};
// Returns body(Format(), Width<V>()) with V = 4 if `wide`, which the arrays must allow, else V = 1.
template <typename Body>
auto WithFormatAndWidth(NumberFormat format, bool wide, const Body& body) {
  return WithFormat(format, [&](auto stored) {
    return wide ? body(stored, Width<4>()) : body(stored, Width<1>());
  });
}

// Whether rows of `columns` elements can be processed in packs of 4, in the arrays of 32-bit words
// `words` and the feature maps `maps` in `format`.
inline bool InPacks(int64_t columns, std::initializer_list<const void*> words, NumberFormat format,
                    std::initializer_list<const void*> maps) {
  return columns % 4 == 0 && Aligned(words) && Aligned(maps, 4 * BytesOf(format));
}

// Casts an array whose format is known at run time only.
template <typename Format>
const typename Format::Stored* StoredAs(const void* x) {
  return static_cast<const typename Format::Stored*>(x);
}
template <typename Format>
typename Format::Stored* StoredAs(void* x) {
  return static_cast<typename Format::Stored*>(x);
}

// Load and store a pack of V elements; the address must be a multiple of its size.
template <typename Format, int V>
__device__ __forceinline__ Pack<float, V> LoadFloats(const typename Format::Stored* p) {
  const Pack<typename Format::Stored, V> stored = LoadPack<V>(p);
  Pack<float, V> values;
  for (int l = 0; l < V; ++l) values.v[l] = Format::Widen(stored.v[l]);
  return values;
}
template <typename Format, int V>
__device__ __forceinline__ void StoreFloats(typename Format::Stored* p,
                                            const Pack<float, V>& values) {
  Pack<typename Format::Stored, V> stored;
  for (int l = 0; l < V; ++l) stored.v[l] = Format::Round(values.v[l]);
  StorePack(p, stored);
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_NUMBER_FORMAT_H_
