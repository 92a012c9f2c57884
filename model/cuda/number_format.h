// NumberFormat: how the inputs of products and feature maps are stored on the device. What is
// computed is computed in float32, of what LoadFloats widens, and rounded by StoreFloats, to the
// nearest, ties to even.
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

// Returns body(Format()) of the type that `format` names.
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

// How many elements a pack has, as a type.
template <int V>
struct Width {
  static constexpr int value = V;
};
// Returns body(Format(), Width<V>()), V 4 where arrays allow it (`wide`) and otherwise 1.
template <typename Body>
auto WithFormatAndWidth(NumberFormat format, bool wide, const Body& body) {
  return WithFormat(format, [&](auto stored) {
    return wide ? body(stored, Width<4>()) : body(stored, Width<1>());
  });
}

// Whether rows of so many elements can be taken in packs of 4: arrays of `words` of 32 bits, and
// maps of `format`.
inline bool InPacks(int64_t columns, std::initializer_list<const void*> words, NumberFormat format,
                    std::initializer_list<const void*> maps) {
  return columns % 4 == 0 && Aligned(words) && Aligned(maps, 4 * BytesOf(format));
}

// An array whose format is known when the program runs.
template <typename Format>
const typename Format::Stored* StoredAs(const void* x) {
  return static_cast<const typename Format::Stored*>(x);
}
template <typename Format>
typename Format::Stored* StoredAs(void* x) {
  return static_cast<typename Format::Stored*>(x);
}

// Packs of V, whose address is a multiple of their size.
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
