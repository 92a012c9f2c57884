#include "model/cuda/column_kernels.h"

#include <algorithm>
#include <cmath>

#include "model/cuda/kernel_support.h"
#include "model/cuda/number_format.h"

namespace protopage {
namespace {

// --- Maps: each element by itself, with what belongs to its column -----------------------------

// Calls map.LoadColumn(j) for the columns of a thread once, and map.Apply(i, j) for its elements i
// there. A thread has Map::kWidth columns after each other.
template <typename Map>
__global__ void ColumnMapKernel(Map map, int64_t rows, int64_t cols) {
  const int64_t j = Map::kWidth * FirstIndex();
  if (j >= cols) return;
  map.LoadColumn(j);
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.y;
  for (int64_t row = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < rows;
       row += step) {
    map.Apply(row * cols + j);
  }
}

template <typename Map>
cudaError_t LaunchColumnMap(cudaStream_t stream, const Map& map, int64_t rows, int64_t cols) {
  if (rows == 0 || cols == 0) return cudaSuccess;
  const int64_t packs = cols / Map::kWidth;
  int64_t width = 1;
  while (width < 128 && width < packs) width *= 2;
  const int64_t height = kBlockThreads / width;
  const int64_t blocks_x = DivideUp(packs, width);
  const int64_t blocks_y =
      std::min(DivideUp(rows, height), std::max<int64_t>(1, kMaxBlocks / blocks_x));
  return Launch(stream, dim3(static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y)),
                dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)), 0,
                ColumnMapKernel<Map>, map, rows, cols);
}

template <typename Format, int V>
struct BiasReluMap {
  static constexpr int kWidth = V;
  const float* x;
  const float* bias;
  bool relu;
  typename Format::Stored* y;
  Pack<float, V> b;

  __device__ void LoadColumn(int64_t j) { b = bias ? LoadPack<V>(bias + j) : Pack<float, V>{}; }
  __device__ void Apply(int64_t i) const {
    Pack<float, V> v = LoadPack<V>(x + i);
    for (int l = 0; l < V; ++l) {
      v.v[l] += b.v[l];
      if (relu && v.v[l] < 0.0f) v.v[l] = 0.0f;
    }
    StoreFloats<Format>(y + i, v);
  }
};

template <typename Format, int V>
struct NormalizeMap {
  static constexpr int kWidth = V;
  const typename Format::Stored* x;
  const float* mean;
  const float* scale;
  const float* beta;
  bool relu;
  typename Format::Stored* y;
  Pack<float, V> m, s, b;

  __device__ void LoadColumn(int64_t j) {
    m = LoadPack<V>(mean + j);
    s = LoadPack<V>(scale + j);
    b = LoadPack<V>(beta + j);
  }
  __device__ void Apply(int64_t i) const {
    Pack<float, V> v = LoadFloats<Format, V>(x + i);
    for (int l = 0; l < V; ++l) {
      v.v[l] = (v.v[l] - m.v[l]) * s.v[l] + b.v[l];
      if (relu && v.v[l] < 0.0f) v.v[l] = 0.0f;
    }
    StoreFloats<Format>(y + i, v);
  }
};

// d_x = a (d_y - b - x_hat e), with x_hat = (x - mean) inv_std.
template <typename Format, int V>
struct NormBackwardMap {
  static constexpr int kWidth = V;
  const typename Format::Stored* x;
  const typename Format::Stored* d_y;
  const float* mean;
  const float* inv_std;
  const float* factors;  // [3, cols]: a, b, e
  int64_t cols;
  typename Format::Stored* d_x;
  Pack<float, V> m, s, a, b, e;

  __device__ void LoadColumn(int64_t j) {
    m = LoadPack<V>(mean + j);
    s = LoadPack<V>(inv_std + j);
    a = LoadPack<V>(factors + j);
    b = LoadPack<V>(factors + cols + j);
    e = LoadPack<V>(factors + 2 * cols + j);
  }
  __device__ void Apply(int64_t i) const {
    const Pack<float, V> in = LoadFloats<Format, V>(x + i),
                         gradient = LoadFloats<Format, V>(d_y + i);
    Pack<float, V> out;
    for (int l = 0; l < V; ++l) {
      const float x_hat = (in.v[l] - m.v[l]) * s.v[l];
      out.v[l] = a.v[l] * (gradient.v[l] - b.v[l] - x_hat * e.v[l]);
    }
    StoreFloats<Format>(d_x + i, out);
  }
};

__global__ void InferenceScaleKernel(const float* gamma, const float* var, float epsilon,
                                     int64_t cols, float* scale) {
  for (int64_t j = FirstIndex(); j < cols; j += IndexStride()) {
    scale[j] = static_cast<float>(static_cast<double>(gamma[j]) /
                                  sqrt(static_cast<double>(var[j]) + static_cast<double>(epsilon)));
  }
}

// --- Sums --------------------------------------------------------------------------------------

// A block of threads takes kLanes columns of kColumnBlockRows rows, a thread every kRows-th row.
constexpr int kLanes = 32;
constexpr int kRows = 8;
constexpr int kRowsOfThread = kColumnBlockRows / kRows;

// The sum of `value` over threadIdx.y, for the threads of y = 0 ... of the same x; `shared` holds a T
// for each thread of the block. All threads must call it.
template <typename T>
__device__ T SumOverY(T value, T* shared) {
  __syncthreads();  // Who still reads the sums of the call before?
  shared[threadIdx.y * kLanes + threadIdx.x] = value;
  __syncthreads();
  T sum = shared[threadIdx.x];
  for (unsigned y = 1; y < blockDim.y; ++y) sum += shared[y * kLanes + threadIdx.x];
  return sum;
}

// partials [blocks, kSums, cols]: sums over each block of rows of what terms.Add(i, j, sums) adds up
// for each element i of column j.
template <typename Terms>
__global__ void PartialSumsKernel(Terms terms, int64_t rows, int64_t cols, float* partials) {
  float* shared = DynamicShared<float>();
  const int64_t j = static_cast<int64_t>(blockIdx.y) * kLanes + threadIdx.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnBlockRows;
  const int64_t end = first + kColumnBlockRows < rows ? first + kColumnBlockRows : rows;
  float sums[Terms::kSums] = {};
  if (j < cols) {
    terms.LoadColumn(j);
    for (int64_t row = first + threadIdx.y; row < end; row += kRows) {
      terms.Add(row * cols + j, sums);
    }
  }
  for (int s = 0; s < Terms::kSums; ++s) {
    const float sum = SumOverY(sums[s], shared);
    if (threadIdx.y == 0 && j < cols) {
      partials[(static_cast<int64_t>(blockIdx.x) * Terms::kSums + s) * cols + j] = sum;
    }
  }
}

// The grid and block of kernels that take blocks of rows.
struct RowBlocks {
  RowBlocks(int64_t rows, int64_t cols)
      : grid(static_cast<unsigned>(DivideUp(rows, kColumnBlockRows)),
             static_cast<unsigned>(DivideUp(cols, kLanes))),
        block(kLanes, kRows) {}
  dim3 grid, block;
};
template <typename Terms>
cudaError_t LaunchPartialSums(cudaStream_t stream, const Terms& terms, int64_t rows, int64_t cols,
                              float* partials) {
  const RowBlocks launch(rows, cols);
  return Launch(stream, launch.grid, launch.block, sizeof(float) * kLanes * kRows,
                PartialSumsKernel<Terms>, terms, rows, cols, partials);
}

struct GradientTerms {
  static constexpr int kSums = 1;
  const float* d_y;
  __device__ void LoadColumn(int64_t) {}
  __device__ void Add(int64_t i, float* sums) const { sums[0] += d_y[i]; }
};

// Element i of d_y, which becomes 0 where y (null: nowhere) is.
template <typename Format>
__device__ float MaskedGradient(const typename Format::Stored* y, typename Format::Stored* d_y,
                                int64_t i) {
  typename Format::Stored gradient = d_y[i];
  if (y != nullptr && Format::Widen(y[i]) <= 0.0f) {
    gradient = 0;
    d_y[i] = gradient;
  }
  return Format::Widen(gradient);
}

template <typename Format>
struct OutputGradientTerms {
  static constexpr int kSums = 1;
  const typename Format::Stored* y;
  typename Format::Stored* d_y;
  __device__ void LoadColumn(int64_t) {}
  __device__ void Add(int64_t i, float* sums) const {
    sums[0] += MaskedGradient<Format>(y, d_y, i);
  }
};

template <typename Format>
struct NormBackwardTerms {
  static constexpr int kSums = 2;
  const typename Format::Stored* x;
  const float* mean;
  const float* inv_std;
  const typename Format::Stored* y;
  typename Format::Stored* d_y;
  float m, s;
  __device__ void LoadColumn(int64_t j) {
    m = mean[j];
    s = inv_std[j];
  }
  __device__ void Add(int64_t i, float* sums) const {
    const float gradient = MaskedGradient<Format>(y, d_y, i);
    sums[0] += gradient;
    sums[1] += gradient * ((Format::Widen(x[i]) - m) * s);
  }
};

// partials [blocks, 2, cols]: the mean of each block of rows, and the sum of the squared distances
// from it.
template <typename Format>
__global__ void PartialMomentsKernel(const typename Format::Stored* x, int64_t rows, int64_t cols,
                                     float* partials) {
  float* shared = DynamicShared<float>();
  const int64_t j = static_cast<int64_t>(blockIdx.y) * kLanes + threadIdx.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnBlockRows;
  const int64_t count = first + kColumnBlockRows < rows ? kColumnBlockRows : rows - first;
  float values[kRowsOfThread];
  float sum = 0.0f;
  for (int r = 0; r < kRowsOfThread; ++r) {
    const int64_t row = r * kRows + threadIdx.y;
    const bool inside = row < count && j < cols;
    values[r] = inside ? Format::Widen(x[(first + row) * cols + j]) : 0.0f;
    sum += values[r];
  }
  const float mean = SumOverY(sum, shared) * (1.0f / static_cast<float>(count));
  float squares = 0.0f;
  for (int r = 0; r < kRowsOfThread; ++r) {
    const float distance = r * kRows + threadIdx.y < count ? values[r] - mean : 0.0f;
    squares += distance * distance;
  }
  squares = SumOverY(squares, shared);
  if (threadIdx.y != 0 || j >= cols) return;
  float* out = partials + 2 * static_cast<int64_t>(blockIdx.x) * cols + j;
  out[0] = mean;
  out[cols] = squares;
}

// A block of threads finishes kLanes columns; thread y takes every kFinishRows-th block of rows.
constexpr int kFinishRows = 16;
// More than 256 threads need bounds: their registers might not suffice.
constexpr int kFinishThreads = kLanes * kFinishRows;
constexpr size_t kFinishBytes = sizeof(double) * kFinishThreads;

inline dim3 FinishGrid(int64_t cols) { return dim3(static_cast<unsigned>(DivideUp(cols, kLanes))); }
inline dim3 FinishBlock() { return dim3(kLanes, kFinishRows); }

// The sum over blocks of rows of number `s` of `sums` partial sums, for column j < cols, else 0.
__device__ double FinishSum(const float* partials, int64_t blocks, int sums, int s, int64_t cols,
                            int64_t j) {
  double sum = 0.0;
  if (j < cols) {
    for (int64_t block = threadIdx.y; block < blocks; block += kFinishRows) {
      sum += static_cast<double>(partials[(block * sums + s) * cols + j]);
    }
  }
  return SumOverY(sum, DynamicShared<double>());
}

__global__ void __launch_bounds__(kFinishThreads)
    FinishSumsKernel(const float* partials, int64_t blocks, int64_t cols, float* totals) {
  const int64_t j = FirstIndex();
  const double sum = FinishSum(partials, blocks, 1, 0, cols, j);
  if (threadIdx.y == 0 && j < cols) totals[j] = static_cast<float>(sum);
}

__global__ void __launch_bounds__(kFinishThreads)
    FinishNormBackwardKernel(const float* partials, int64_t blocks, int64_t rows, int64_t cols,
                             const float* gamma, const float* inv_std, float* d_gamma,
                             float* d_beta, float* factors) {
  const int64_t j = FirstIndex();
  const double sum = FinishSum(partials, blocks, 2, 0, cols, j);
  const double sum_x = FinishSum(partials, blocks, 2, 1, cols, j);
  if (threadIdx.y != 0 || j >= cols) return;
  const double count = static_cast<double>(rows > 0 ? rows : 1);
  d_beta[j] = static_cast<float>(sum);
  d_gamma[j] = static_cast<float>(sum_x);
  factors[j] = gamma[j] * inv_std[j];
  factors[cols + j] = static_cast<float>(sum / count);
  factors[2 * cols + j] = static_cast<float>(sum_x / count);
}

// Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances": the
// parts' squared distances, plus what the distance between the means adds.
struct Moments {
  double count, mean, m2;
  __device__ void Merge(const Moments& other) {
    if (other.count == 0.0) return;
    const double distance = other.mean - mean;
    const double total = count + other.count;
    m2 += other.m2 + distance * distance * count * other.count / total;
    mean += distance * other.count / total;
    count = total;
  }
};

__global__ void __launch_bounds__(kFinishThreads)
    FinishMomentsKernel(const float* partials, int64_t blocks, int64_t rows, int64_t cols,
                        BatchNormMoments out) {
  Moments* shared = DynamicShared<Moments>();
  const int64_t j = FirstIndex();
  Moments moments = {0.0, 0.0, 0.0};
  if (j < cols) {
    for (int64_t block = threadIdx.y; block < blocks; block += kFinishRows) {
      const int64_t rest = rows - block * kColumnBlockRows;
      const float* part = partials + 2 * block * cols + j;
      moments.Merge({static_cast<double>(rest < kColumnBlockRows ? rest : kColumnBlockRows),
                     static_cast<double>(part[0]), static_cast<double>(part[cols])});
    }
  }
  shared[threadIdx.y * kLanes + threadIdx.x] = moments;
  __syncthreads();
  if (threadIdx.y != 0 || j >= cols) return;
  for (int y = 1; y < kFinishRows; ++y) moments.Merge(shared[y * kLanes + threadIdx.x]);
  const double variance = moments.m2 / moments.count;
  const double inv_std = 1.0 / sqrt(variance + static_cast<double>(out.epsilon));
  const double keep = static_cast<double>(out.momentum);
  out.saved_mean[j] = static_cast<float>(moments.mean);
  out.saved_inv_std[j] = static_cast<float>(inv_std);
  out.scale[j] = static_cast<float>(static_cast<double>(out.gamma[j]) * inv_std);
  out.running_mean[j] = static_cast<float>(keep * static_cast<double>(out.running_mean[j]) +
                                           (1.0 - keep) * moments.mean);
  out.running_var[j] =
      static_cast<float>(keep * static_cast<double>(out.running_var[j]) + (1.0 - keep) * variance);
}

}  // namespace

cudaError_t LaunchBiasRelu(cudaStream_t stream, const float* x, const float* bias, bool relu,
                           int64_t rows, int64_t cols, NumberFormat format, void* y) {
  return WithFormatAndWidth(
      format, InPacks(cols, {x, bias}, format, {y}), [&](auto stored, auto width) {
        using Format = decltype(stored);
        return LaunchColumnMap(
            stream,
            BiasReluMap<Format, decltype(width)::value>{x, bias, relu, StoredAs<Format>(y), {}},
            rows, cols);
      });
}

cudaError_t LaunchNormalize(cudaStream_t stream, NumberFormat format, const void* x,
                            const float* mean, const float* scale, const float* beta, bool relu,
                            int64_t rows, int64_t cols, void* y) {
  return WithFormatAndWidth(
      format, InPacks(cols, {mean, scale, beta}, format, {x, y}), [&](auto stored, auto width) {
        using Format = decltype(stored);
        return LaunchColumnMap(
            stream,
            NormalizeMap<Format, decltype(width)::value>{
                StoredAs<Format>(x), mean, scale, beta, relu, StoredAs<Format>(y), {}, {}, {}},
            rows, cols);
      });
}

cudaError_t LaunchInferenceScale(cudaStream_t stream, const float* gamma, const float* var,
                                 float epsilon, int64_t cols, float* scale) {
  if (cols == 0) return cudaSuccess;
  return Launch(stream, GridFor(cols), kBlockThreads, 0, InferenceScaleKernel, gamma, var, epsilon,
                cols, scale);
}

// Sums over no rows are 0, from no blocks.
static cudaError_t LaunchFinishSums(cudaStream_t stream, const float* partials, int64_t rows,
                                    int64_t cols, float* totals) {
  return Launch(stream, FinishGrid(cols), FinishBlock(), kFinishBytes, FinishSumsKernel, partials,
                DivideUp(rows, kColumnBlockRows), cols, totals);
}

cudaError_t LaunchColumnSums(cudaStream_t stream, const float* d_y, int64_t rows, int64_t cols,
                             float* partials, float* d_bias) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = LaunchPartialSums(stream, GradientTerms{d_y}, rows, cols, partials);
    if (error != cudaSuccess) return error;
  }
  return LaunchFinishSums(stream, partials, rows, cols, d_bias);
}

cudaError_t LaunchOutputGradient(cudaStream_t stream, NumberFormat format, const void* y,
                                 int64_t rows, int64_t cols, void* d_y, float* partials,
                                 float* d_bias) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = WithFormat(format, [&](auto stored) {
      using Format = decltype(stored);
      return LaunchPartialSums(
          stream, OutputGradientTerms<Format>{StoredAs<Format>(y), StoredAs<Format>(d_y)}, rows,
          cols, partials);
    });
    if (error != cudaSuccess) return error;
  }
  if (d_bias == nullptr) return cudaSuccess;
  return LaunchFinishSums(stream, partials, rows, cols, d_bias);
}

cudaError_t LaunchMoments(cudaStream_t stream, NumberFormat format, const void* x, int64_t rows,
                          int64_t cols, float* partials, const BatchNormMoments& moments) {
  if (cols == 0) return cudaSuccess;
  const RowBlocks launch(rows, cols);
  const cudaError_t error = WithFormat(format, [&](auto stored) {
    using Format = decltype(stored);
    return Launch(stream, launch.grid, launch.block, sizeof(float) * kLanes * kRows,
                  PartialMomentsKernel<Format>, StoredAs<Format>(x), rows, cols, partials);
  });
  if (error != cudaSuccess) return error;
  return Launch(stream, FinishGrid(cols), FinishBlock(), sizeof(Moments) * kFinishThreads,
                FinishMomentsKernel, partials, DivideUp(rows, kColumnBlockRows), rows, cols,
                moments);
}

cudaError_t LaunchBatchNormBackward(cudaStream_t stream, const BatchNormGradient& g, int64_t rows,
                                    int64_t cols, float* partials, float* factors) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = WithFormat(g.format, [&](auto stored) {
      using Format = decltype(stored);
      return LaunchPartialSums(
          stream,
          NormBackwardTerms<Format>{StoredAs<Format>(g.x), g.mean, g.inv_std, StoredAs<Format>(g.y),
                                    StoredAs<Format>(g.d_y), 0.0f, 0.0f},
          rows, cols, partials);
    });
    if (error != cudaSuccess) return error;
  }
  const cudaError_t error =
      Launch(stream, FinishGrid(cols), FinishBlock(), kFinishBytes, FinishNormBackwardKernel,
             partials, DivideUp(rows, kColumnBlockRows), rows, cols, g.gamma, g.inv_std, g.d_gamma,
             g.d_beta, factors);
  if (error != cudaSuccess) return error;
  return WithFormatAndWidth(
      g.format, InPacks(cols, {g.mean, g.inv_std, factors}, g.format, {g.x, g.d_y, g.d_x}),
      [&](auto stored, auto width) {
        using Format = decltype(stored);
        return LaunchColumnMap(
            stream,
            NormBackwardMap<Format, decltype(width)::value>{StoredAs<Format>(g.x),
                                                            StoredAs<Format>(g.d_y),
                                                            g.mean,
                                                            g.inv_std,
                                                            factors,
                                                            cols,
                                                            StoredAs<Format>(g.d_x),
                                                            {},
                                                            {},
                                                            {},
                                                            {},
                                                            {}},
            rows, cols);
      });
}

}  // namespace protopage
