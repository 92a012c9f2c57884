#include "protopage/model/cuda/platform.h"

// Device code draws the same numbers as the host. This must precede the first include of philox.h.
#define PROTOPAGE_HOST_DEVICE __host__ __device__
#include "protopage/base/philox.h"
#include "protopage/model/cuda/elementwise_kernels.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"

namespace protopage {
namespace {

// Calls map.template Apply<V>(i) for each pack of V elements at i, and Apply<1> for the rest.
template <int V, typename Map>
__global__ void MapKernel(Map map, int64_t n) {
  const int64_t packs = n / V;
  for (int64_t i = FirstIndex(); i < packs; i += IndexStride()) map.template Apply<V>(i * V);
  for (int64_t i = packs * V + FirstIndex(); i < n; i += IndexStride()) map.template Apply<1>(i);
}

// `aligned`: all arrays of the map are aligned to 4 elements.
template <typename Map>
cudaError_t LaunchMap(cudaStream_t stream, const Map& map, int64_t n, bool aligned) {
  if (n == 0) return cudaSuccess;
  if (aligned)
    return Launch(stream, GridFor(DivideUp(n, 4)), kBlockThreads, 0, MapKernel<4, Map>, map, n);
  return Launch(stream, GridFor(n), kBlockThreads, 0, MapKernel<1, Map>, map, n);
}

struct FillMap {
  float value;
  float* x;
  template <int V>
  __device__ void Apply(int64_t i) const {
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = value;
    StorePack(x + i, out);
  }
};

template <typename Format>
struct ImagesToFloatMap {
  const uint8_t* x;
  float scale, shift;
  typename Format::Stored* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<uint8_t, V> in = LoadPack<V>(x + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = scale * static_cast<float>(in.v[l]) + shift;
    StoreFloats<Format>(y + i, out);
  }
};

template <typename From, typename To>
struct ConvertMap {
  const typename From::Stored* x;
  typename To::Stored* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    StoreFloats<To>(y + i, LoadFloats<From, V>(x + i));
  }
};

// y[i] = f(a[i], b[i])
template <typename Format, typename Function>
struct BinaryMap {
  Function f;
  const typename Format::Stored* a;
  const typename Format::Stored* b;
  typename Format::Stored* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> x1 = LoadFloats<Format, V>(a + i), x2 = LoadFloats<Format, V>(b + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = f(x1.v[l], x2.v[l]);
    StoreFloats<Format>(y + i, out);
  }
};
template <typename Function>
cudaError_t LaunchBinary(cudaStream_t stream, NumberFormat format, const Function& f, const void* a,
                         const void* b, int64_t n, void* y) {
  return WithFormat(format, [&](auto stored) {
    using Format = decltype(stored);
    return LaunchMap(stream,
                     BinaryMap<Format, Function>{f, StoredAs<Format>(a), StoredAs<Format>(b),
                                                 StoredAs<Format>(y)},
                     n, Aligned({a, b, y}, 4 * BytesOf(format)));
  });
}

// y[i] = f(x[i])
template <typename Format, typename Function>
struct UnaryMap {
  Function f;
  const typename Format::Stored* x;
  typename Format::Stored* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> in = LoadFloats<Format, V>(x + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = f(in.v[l]);
    StoreFloats<Format>(y + i, out);
  }
};
template <typename Function>
cudaError_t LaunchUnary(cudaStream_t stream, NumberFormat format, const Function& f, const void* x,
                        int64_t n, void* y) {
  return WithFormat(format, [&](auto stored) {
    using Format = decltype(stored);
    return LaunchMap(stream,
                     UnaryMap<Format, Function>{f, StoredAs<Format>(x), StoredAs<Format>(y)}, n,
                     Aligned({x, y}, 4 * BytesOf(format)));
  });
}

// The comparisons let NaN pass: a step that is not finite must be noticed.
struct Relu {
  __device__ float operator()(float x) const { return x < 0.0f ? 0.0f : x; }
};
struct ReluGradient {
  __device__ float operator()(float y, float d_y) const { return y <= 0.0f ? 0.0f : d_y; }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct ScaledSum {
  float alpha;
  __device__ float operator()(float x, float y) const { return y + alpha * x; }
};
struct Product {
  float alpha;
  __device__ float operator()(float x) const { return alpha * x; }
};

// A thread draws the 4 words of one counter for 4 elements. V is 4, or 1 if the arrays are not
// aligned.
template <typename Format, int V>
__global__ void DropoutKernel(float rate, float scale, uint64_t key, const uint64_t* step_at,
                              const typename Format::Stored* x, int64_t n,
                              typename Format::Stored* y) {
  const uint64_t step = *step_at;
  const int64_t counters = (n + 3) / 4;
  for (int64_t counter = FirstIndex(); counter < counters; counter += IndexStride()) {
    const PhiloxBlock block = Philox4x32(key, step, static_cast<uint64_t>(counter));
    const int64_t first = 4 * counter;
    if (V == 4 && first + 4 <= n) {
      Pack<float, V> values = LoadFloats<Format, V>(x + first);
      for (int l = 0; l < V; ++l) {
        values.v[l] *= UnitFloat(block.word[l]) >= rate ? scale : 0.0f;
      }
      StoreFloats<Format>(y + first, values);
      continue;
    }
    for (int l = 0; l < 4 && first + l < n; ++l) {
      const float factor = UnitFloat(block.word[l]) >= rate ? scale : 0.0f;
      y[first + l] = Format::Round(Format::Widen(x[first + l]) * factor);
    }
  }
}

}  // namespace

cudaError_t LaunchFill(cudaStream_t stream, float value, int64_t n, float* x) {
  return LaunchMap(stream, FillMap{value, x}, n, Aligned({x}));
}
cudaError_t LaunchImagesToFloat(cudaStream_t stream, const uint8_t* x, int64_t n, float scale,
                                float shift, NumberFormat format, void* y) {
  return WithFormat(format, [&](auto stored) {
    using Format = decltype(stored);
    return LaunchMap(stream, ImagesToFloatMap<Format>{x, scale, shift, StoredAs<Format>(y)}, n,
                     Aligned({x}, 4) && Aligned({y}, 4 * BytesOf(format)));
  });
}
cudaError_t LaunchReluForward(cudaStream_t stream, NumberFormat format, const void* x, int64_t n,
                              void* y) {
  return LaunchUnary(stream, format, Relu(), x, n, y);
}
cudaError_t LaunchReluBackward(cudaStream_t stream, NumberFormat format, const void* y,
                               const void* d_y, int64_t n, void* d_x) {
  return LaunchBinary(stream, format, ReluGradient(), y, d_y, n, d_x);
}
cudaError_t LaunchAdd(cudaStream_t stream, NumberFormat format, const void* a, const void* b,
                      int64_t n, void* y) {
  return LaunchBinary(stream, format, Sum(), a, b, n, y);
}
cudaError_t LaunchAxpy(cudaStream_t stream, NumberFormat format, float alpha, const void* x,
                       int64_t n, void* y) {
  return LaunchBinary(stream, format, ScaledSum{alpha}, x, y, n, y);
}
cudaError_t LaunchScale(cudaStream_t stream, float alpha, int64_t n, float* x) {
  return LaunchUnary(stream, NumberFormat::kFloat32, Product{alpha}, x, n, x);
}

cudaError_t LaunchDropout(cudaStream_t stream, NumberFormat format, float rate, uint64_t key,
                          const uint64_t* step, const void* x, int64_t n, void* y) {
  if (n == 0) return cudaSuccess;
  const float scale = 1.0f / (1.0f - rate);
  const bool aligned = Aligned({x, y}, 4 * BytesOf(format));
  return WithFormat(format, [&](auto stored) {
    using Format = decltype(stored);
    return Launch(stream, GridFor(DivideUp(n, 4)), kBlockThreads, 0,
                  aligned ? DropoutKernel<Format, 4> : DropoutKernel<Format, 1>, rate, scale, key,
                  step, StoredAs<Format>(x), n, StoredAs<Format>(y));
  });
}

cudaError_t LaunchConvert(cudaStream_t stream, NumberFormat from, const void* x, int64_t n,
                          NumberFormat to, void* y) {
  const bool aligned = Aligned({x}, 4 * BytesOf(from)) && Aligned({y}, 4 * BytesOf(to));
  return WithFormat(from, [&](auto stored) {
    return WithFormat(to, [&](auto other) {
      using From = decltype(stored);
      using To = decltype(other);
      return LaunchMap(stream, ConvertMap<From, To>{StoredAs<From>(x), StoredAs<To>(y)}, n,
                       aligned);
    });
  });
}

}  // namespace protopage
