#include "model/cuda/platform.h"

// Device code draws the same numbers as the host: before the first include of it.
#define PROTOPAGE_HOST_DEVICE __host__ __device__
#include "base/philox.h"
#include "model/cuda/elementwise_kernels.h"
#include "model/cuda/kernel_support.h"

namespace protopage {
namespace {

// Calls map.template Apply<V>(i) for packs of V elements at i, and Apply<1> for the rest.
template <int V, typename Map>
__global__ void MapKernel(Map map, int64_t n) {
  const int64_t packs = n / V;
  for (int64_t i = FirstIndex(); i < packs; i += IndexStride()) map.template Apply<V>(i * V);
  for (int64_t i = packs * V + FirstIndex(); i < n; i += IndexStride()) map.template Apply<1>(i);
}

// `aligned`: all arrays of the map are at multiples of 4 elements.
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

struct ImagesToFloatMap {
  const uint8_t* x;
  float scale, shift;
  float* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<uint8_t, V> in = LoadPack<V>(x + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = scale * static_cast<float>(in.v[l]) + shift;
    StorePack(y + i, out);
  }
};

template <typename Format>
struct RoundMap {
  const float* x;
  typename Format::Stored* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> in = LoadPack<V>(x + i);
    Pack<typename Format::Stored, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = Format::Round(in.v[l]);
    StorePack(y + i, out);
  }
};

// y[i] = f(a[i], b[i])
template <typename Function>
struct BinaryMap {
  Function f;
  const float* a;
  const float* b;
  float* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> x1 = LoadPack<V>(a + i), x2 = LoadPack<V>(b + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = f(x1.v[l], x2.v[l]);
    StorePack(y + i, out);
  }
};
template <typename Function>
cudaError_t LaunchBinary(cudaStream_t stream, const Function& f, const float* a, const float* b,
                         int64_t n, float* y) {
  return LaunchMap(stream, BinaryMap<Function>{f, a, b, y}, n, Aligned({a, b, y}));
}

// y[i] = f(x[i])
template <typename Function>
struct UnaryMap {
  Function f;
  const float* x;
  float* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> in = LoadPack<V>(x + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = f(in.v[l]);
    StorePack(y + i, out);
  }
};
template <typename Function>
cudaError_t LaunchUnary(cudaStream_t stream, const Function& f, const float* x, int64_t n,
                        float* y) {
  return LaunchMap(stream, UnaryMap<Function>{f, x, y}, n, Aligned({x, y}));
}

struct SumPartsMap {
  const float* parts;
  int64_t num_parts, n;
  float* y;
  template <int V>
  __device__ void Apply(int64_t i) const {
    double sums[V] = {};
    for (int64_t part = 0; part < num_parts; ++part) {
      const Pack<float, V> in = LoadPack<V>(parts + part * n + i);
      for (int l = 0; l < V; ++l) sums[l] += static_cast<double>(in.v[l]);
    }
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) out.v[l] = static_cast<float>(sums[l]);
    StorePack(y + i, out);
  }
};

// Comparisons are written so that a NaN passes: a step that is not finite must be seen.
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

// A thread draws the 4 words of one counter for 4 elements. V: 4, or 1 where the arrays are not
// aligned.
template <int V>
__global__ void DropoutKernel(float rate, float scale, uint64_t key, const uint64_t* step_at,
                              const float* x, int64_t n, float* y) {
  const uint64_t step = *step_at;
  const int64_t counters = (n + 3) / 4;
  for (int64_t counter = FirstIndex(); counter < counters; counter += IndexStride()) {
    const PhiloxBlock block = Philox4x32(key, step, static_cast<uint64_t>(counter));
    const int64_t first = 4 * counter;
    if (V == 4 && first + 4 <= n) {
      Pack<float, V> values = LoadPack<V>(x + first);
      for (int l = 0; l < V; ++l) {
        values.v[l] *= UnitFloat(block.word[l]) >= rate ? scale : 0.0f;
      }
      StorePack(y + first, values);
      continue;
    }
    for (int l = 0; l < 4 && first + l < n; ++l) {
      y[first + l] = x[first + l] * (UnitFloat(block.word[l]) >= rate ? scale : 0.0f);
    }
  }
}

}  // namespace

cudaError_t LaunchFill(cudaStream_t stream, float value, int64_t n, float* x) {
  return LaunchMap(stream, FillMap{value, x}, n, Aligned({x}));
}
cudaError_t LaunchImagesToFloat(cudaStream_t stream, const uint8_t* x, int64_t n, float scale,
                                float shift, float* y) {
  return LaunchMap(stream, ImagesToFloatMap{x, scale, shift, y}, n,
                   Aligned({x}, 4) && Aligned({y}));
}
cudaError_t LaunchReluForward(cudaStream_t stream, const float* x, int64_t n, float* y) {
  return LaunchUnary(stream, Relu(), x, n, y);
}
cudaError_t LaunchReluBackward(cudaStream_t stream, const float* y, const float* d_y, int64_t n,
                               float* d_x) {
  return LaunchBinary(stream, ReluGradient(), y, d_y, n, d_x);
}
cudaError_t LaunchAdd(cudaStream_t stream, const float* a, const float* b, int64_t n, float* y) {
  return LaunchBinary(stream, Sum(), a, b, n, y);
}
cudaError_t LaunchAxpy(cudaStream_t stream, float alpha, const float* x, int64_t n, float* y) {
  return LaunchBinary(stream, ScaledSum{alpha}, x, y, n, y);
}
cudaError_t LaunchScale(cudaStream_t stream, float alpha, int64_t n, float* x) {
  return LaunchUnary(stream, Product{alpha}, x, n, x);
}

cudaError_t LaunchDropout(cudaStream_t stream, float rate, uint64_t key, const uint64_t* step,
                          const float* x, int64_t n, float* y) {
  if (n == 0) return cudaSuccess;
  const float scale = 1.0f / (1.0f - rate);
  return Launch(stream, GridFor(DivideUp(n, 4)), kBlockThreads, 0,
                Aligned({x, y}) ? DropoutKernel<4> : DropoutKernel<1>, rate, scale, key, step, x, n,
                y);
}

// One element a thread: there are few of them, of many parts.
cudaError_t LaunchSumParts(cudaStream_t stream, const float* parts, int64_t num_parts, int64_t n,
                           float* y) {
  return LaunchMap(stream, SumPartsMap{parts, num_parts, n, y}, n, /*aligned=*/false);
}

cudaError_t LaunchRound(cudaStream_t stream, NumberFormat format, const float* x, int64_t n,
                        void* y) {
  return WithFormat(format, [&](auto rounding) {
    using Format = decltype(rounding);
    using Stored = typename Format::Stored;
    return LaunchMap(stream, RoundMap<Format>{x, static_cast<Stored*>(y)}, n,
                     Aligned({x}) && Aligned({y}, 4 * sizeof(Stored)));
  });
}

}  // namespace protopage
