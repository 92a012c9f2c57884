#include "protopage/model/cuda/column_kernels.h"

#include <algorithm>
#include <cmath>

#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"

namespace protopage {
namespace {

// --- Maps: each element by itself, with parameters of its column -------------------------------

// Calls map.LoadColumn(j) once for the columns of a thread, and map.Apply(i, j) for its elements i
// in them. A thread has Map::kWidth adjacent columns.
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

// A block of threads processes kLanes columns of kColumnBlockRows rows. A thread has V adjacent
// columns of every kRows-th row. It issues all its loads before it uses any of them. Nothing
// branches in between, because code after a branch may wait for the loads before it: in place of
// rows past the end, the thread reads its first row again.
constexpr int kLanes = 32;
template <int V>
struct RowTile {
  static constexpr int kPacks = kLanes / V;
  static constexpr int kRows = kBlockThreads / kPacks;
  static constexpr int kRowsOfThread = kColumnBlockRows / kRows;
};

// A sum over rows takes one float of shared memory for each warp and column. Stores them, given
// each thread's `sum`. All threads must call it.
constexpr int kWarps = kBlockThreads / kWarp;
template <int V>
__device__ __forceinline__ void StoreWarpSums(Pack<float, V> sum, float* shared) {
  constexpr int kPacks = RowTile<V>::kPacks;
  for (int l = 0; l < V; ++l) {
    // Lanes of the same columns.
    for (int lanes = kPacks; lanes < kWarp; lanes *= 2) {
      sum.v[l] += __shfl_xor_sync(kAllLanes, sum.v[l], lanes);
    }
  }
  const int thread = static_cast<int>(threadIdx.y * kPacks + threadIdx.x);
  if (thread % kWarp < kPacks) {
    StorePack(shared + thread / kWarp * kLanes + static_cast<int>(threadIdx.x) * V, sum);
  }
}
// The sums over all warps, after a barrier, for the V columns at `column` of the block.
template <int V>
__device__ __forceinline__ Pack<float, V> LoadWarpSums(const float* shared, int column) {
  Pack<float, V> sum = LoadPack<V>(shared + column);
  for (int warp = 1; warp < kWarps; ++warp) {
    const Pack<float, V> more = LoadPack<V>(shared + warp * kLanes + column);
    for (int l = 0; l < V; ++l) sum.v[l] += more.v[l];
  }
  return sum;
}

// partials [blocks, kSums, cols]: the sums over each block of rows. For each pack of elements at i,
// terms.Add(i, terms.Load(i), sums) adds the terms to the sums.
template <typename Terms>
__global__ void PartialSumsKernel(Terms terms, int64_t rows, int64_t cols, float* partials) {
  constexpr int kWidth = Terms::kWidth;
  using Tile = RowTile<kWidth>;
  float* shared = DynamicShared<float>();
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kLanes;
  const int64_t j = begin + kWidth * threadIdx.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnBlockRows + threadIdx.y;
  Pack<float, kWidth> sums[Terms::kSums] = {};
  if (j < cols && first < rows) {
    terms.LoadColumn(j);
    typename Terms::Input inputs[Tile::kRowsOfThread];
    int64_t at[Tile::kRowsOfThread];
    PROTOPAGE_UNROLL
    for (int r = 0; r < Tile::kRowsOfThread; ++r) {
      const int64_t row = first + r * Tile::kRows;
      at[r] = (row < rows ? row : first) * cols + j;
      inputs[r] = terms.Load(at[r]);
    }
    PROTOPAGE_UNROLL
    for (int r = 0; r < Tile::kRowsOfThread; ++r) {
      if (first + r * Tile::kRows < rows) terms.Add(at[r], inputs[r], sums);
    }
  }
  PROTOPAGE_UNROLL
  for (int s = 0; s < Terms::kSums; ++s) {
    StoreWarpSums(sums[s], shared + s * kWarps * kLanes);
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y * Tile::kPacks + threadIdx.x);
  const int s = thread / kLanes, column = thread % kLanes;
  if (s >= Terms::kSums || begin + column >= cols) return;
  partials[(static_cast<int64_t>(blockIdx.x) * Terms::kSums + s) * cols + begin + column] =
      LoadWarpSums<1>(shared + s * kWarps * kLanes, column).v[0];
}

// The grid and block of kernels over blocks of rows, and the shared memory of each sum.
template <int V>
struct RowBlocks {
  RowBlocks(int64_t rows, int64_t cols)
      : grid(static_cast<unsigned>(DivideUp(rows, kColumnBlockRows)),
             static_cast<unsigned>(DivideUp(cols, kLanes))),
        block(RowTile<V>::kPacks, RowTile<V>::kRows) {}
  dim3 grid, block;
  static constexpr size_t kSumBytes = sizeof(float) * kWarps * kLanes;
};
template <typename Terms>
cudaError_t LaunchPartialSums(cudaStream_t stream, const Terms& terms, int64_t rows, int64_t cols,
                              float* partials) {
  const RowBlocks<Terms::kWidth> launch(rows, cols);
  return Launch(stream, launch.grid, launch.block, Terms::kSums * launch.kSumBytes,
                PartialSumsKernel<Terms>, terms, rows, cols, partials);
}

template <int V>
struct GradientTerms {
  static constexpr int kWidth = V, kSums = 1;
  using Input = Pack<float, V>;
  const float* d_y;
  __device__ void LoadColumn(int64_t) {}
  __device__ Input Load(int64_t i) const { return LoadPack<V>(d_y + i); }
  __device__ void Add(int64_t, const Input& in, Pack<float, V>* sums) const {
    for (int l = 0; l < V; ++l) sums[0].v[l] += in.v[l];
  }
};

// The term d_y, which is set to 0 where y is 0 (nowhere if y is null).
template <typename Format, int V>
struct MaskedGradient {
  using Stored = typename Format::Stored;
  struct Input {
    Pack<Stored, V> y, d_y;
  };
  const Stored* y;
  Stored* d_y;
  __device__ Input Load(int64_t i) const {
    return {LoadPack<V>((y != nullptr ? y : d_y) + i), LoadPack<V>(d_y + i)};
  }
  // Writes whole packs, whether they change or not: partial writes of a warp are slow.
  __device__ Pack<float, V> Mask(int64_t i, Input in) const {
    if (y != nullptr) {
      for (int l = 0; l < V; ++l) {
        if (Format::Widen(in.y.v[l]) <= 0.0f) in.d_y.v[l] = 0;
      }
      StorePack(d_y + i, in.d_y);
    }
    Pack<float, V> gradient;
    for (int l = 0; l < V; ++l) gradient.v[l] = Format::Widen(in.d_y.v[l]);
    return gradient;
  }
};

template <typename Format, int V>
struct OutputGradientTerms {
  static constexpr int kWidth = V, kSums = 1;
  using Input = typename MaskedGradient<Format, V>::Input;
  MaskedGradient<Format, V> d_y;
  __device__ void LoadColumn(int64_t) {}
  __device__ Input Load(int64_t i) const { return d_y.Load(i); }
  __device__ void Add(int64_t i, const Input& in, Pack<float, V>* sums) const {
    const Pack<float, V> gradient = d_y.Mask(i, in);
    for (int l = 0; l < V; ++l) sums[0].v[l] += gradient.v[l];
  }
};

template <typename Format, int V>
struct NormBackwardTerms {
  static constexpr int kWidth = V, kSums = 2;
  struct Input {
    typename MaskedGradient<Format, V>::Input d_y;
    Pack<typename Format::Stored, V> x;
  };
  const typename Format::Stored* x;
  const float* mean;
  const float* inv_std;
  MaskedGradient<Format, V> d_y;
  Pack<float, V> m, s;
  __device__ void LoadColumn(int64_t j) {
    m = LoadPack<V>(mean + j);
    s = LoadPack<V>(inv_std + j);
  }
  __device__ Input Load(int64_t i) const { return {d_y.Load(i), LoadPack<V>(x + i)}; }
  __device__ void Add(int64_t i, const Input& in, Pack<float, V>* sums) const {
    const Pack<float, V> gradient = d_y.Mask(i, in.d_y);
    for (int l = 0; l < V; ++l) {
      sums[0].v[l] += gradient.v[l];
      sums[1].v[l] += gradient.v[l] * ((Format::Widen(in.x.v[l]) - m.v[l]) * s.v[l]);
    }
  }
};

// partials [blocks, 2, cols]: the mean of each block of rows, and the sum of the squared distances
// from it.
template <typename Format, int V>
__global__ void PartialMomentsKernel(const typename Format::Stored* x, int64_t rows, int64_t cols,
                                     float* partials) {
  using Tile = RowTile<V>;
  float* shared = DynamicShared<float>();
  float* shared_squares = shared + kWarps * kLanes;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kLanes;
  const int64_t j = begin + V * threadIdx.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kColumnBlockRows;
  const int64_t count = first + kColumnBlockRows < rows ? kColumnBlockRows : rows - first;
  const float scale = 1.0f / static_cast<float>(count);
  Pack<float, V> values[Tile::kRowsOfThread];
  PROTOPAGE_UNROLL
  for (int r = 0; r < Tile::kRowsOfThread; ++r) {
    const int64_t row = r * Tile::kRows + threadIdx.y;
    const bool inside = row < count && j < cols;
    values[r] = LoadFloats<Format, V>(x + (inside ? (first + row) * cols + j : 0));
  }
  Pack<float, V> sum = {};
  PROTOPAGE_UNROLL
  for (int r = 0; r < Tile::kRowsOfThread; ++r) {
    if (r * Tile::kRows + threadIdx.y >= count) continue;
    for (int l = 0; l < V; ++l) sum.v[l] += values[r].v[l];
  }
  StoreWarpSums(sum, shared);
  __syncthreads();
  Pack<float, V> mean = LoadWarpSums<V>(shared, V * static_cast<int>(threadIdx.x));
  for (int l = 0; l < V; ++l) mean.v[l] *= scale;
  Pack<float, V> squares = {};
  PROTOPAGE_UNROLL
  for (int r = 0; r < Tile::kRowsOfThread; ++r) {
    if (r * Tile::kRows + threadIdx.y >= count) continue;
    for (int l = 0; l < V; ++l) {
      const float distance = values[r].v[l] - mean.v[l];
      squares.v[l] += distance * distance;
    }
  }
  StoreWarpSums(squares, shared_squares);
  __syncthreads();
  const int column = static_cast<int>(threadIdx.y * Tile::kPacks + threadIdx.x);
  if (column >= kLanes || begin + column >= cols) return;
  float* out = partials + 2 * static_cast<int64_t>(blockIdx.x) * cols + begin + column;
  out[0] = LoadWarpSums<1>(shared, column).v[0] * scale;
  out[cols] = LoadWarpSums<1>(shared_squares, column).v[0];
}

// --- Sums of partial sums: over the rows of a matrix [parts, cols] ------------------------------

// A thread processes every blockDim.y-th row of one column, with kInFlight loads in flight.
constexpr int kInFlight = 8;
// Blocks of more than 256 threads need launch bounds, or there might be too few registers.
constexpr int kFinishThreads = 512;
constexpr size_t kFinishBytes = sizeof(double) * kFinishThreads;

// As tall as there are parts for, but at least 8 columns wide: memory is read in units of 32 bytes.
inline dim3 FinishBlock(int64_t parts) {
  unsigned height = 1;
  while (height < kFinishThreads / 8 && height * kInFlight < parts) height *= 2;
  return dim3(kFinishThreads / height, height);
}
template <typename... P, typename... A>
cudaError_t LaunchFinish(cudaStream_t stream, void (*kernel)(const float*, int64_t, int64_t, P...),
                         const float* partials, int64_t parts, int64_t cols, const A&... args) {
  const dim3 block = FinishBlock(parts);
  return Launch(stream, dim3(static_cast<unsigned>(DivideUp(cols, block.x))), block, kFinishBytes,
                kernel, partials, parts, cols, args...);
}

// Returns the sum of `value` over threadIdx.y to the thread with y = 0. All threads must call it.
__device__ double SumOverY(double value) {
  double* shared = DynamicShared<double>() + threadIdx.x;
  __syncthreads();  // Other threads may still read the sums of the previous call.
  shared[threadIdx.y * blockDim.x] = value;
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) {
      value += shared[(threadIdx.y + half) * blockDim.x];
      shared[threadIdx.y * blockDim.x] = value;
    }
  }
  return value;
}

// Returns the sum of column j < cols (else 0) to the thread with y = 0. All threads must call it.
__device__ double FinishSum(const float* partials, int64_t parts, int64_t cols, int64_t j) {
  double sum = 0.0;
  if (j < cols) {
    for (int64_t first = threadIdx.y; first < parts; first += kInFlight * blockDim.y) {
      float values[kInFlight];
      PROTOPAGE_UNROLL
      for (int r = 0; r < kInFlight; ++r) {
        const int64_t part = first + r * blockDim.y;
        values[r] = partials[(part < parts ? part : first) * cols + j];
      }
      PROTOPAGE_UNROLL
      for (int r = 0; r < kInFlight; ++r) {
        if (first + r * blockDim.y < parts) sum += static_cast<double>(values[r]);
      }
    }
  }
  return SumOverY(sum);
}

__global__ void __launch_bounds__(kFinishThreads)
    FinishSumsKernel(const float* partials, int64_t parts, int64_t cols, float* totals) {
  const int64_t j = FirstIndex();
  const double sum = FinishSum(partials, parts, cols, j);
  if (threadIdx.y == 0 && j < cols) totals[j] = static_cast<float>(sum);
}

// The sums of d_y and of d_y x_hat are adjacent: as [parts, 2 cols] they are twice as many columns.
__global__ void __launch_bounds__(kFinishThreads)
    FinishNormBackwardKernel(const float* partials, int64_t parts, int64_t twice_cols, int64_t rows,
                             const float* gamma, const float* inv_std, float* d_gamma,
                             float* d_beta, float* factors) {
  const int64_t cols = twice_cols / 2;
  const int64_t j = FirstIndex();
  const double sum = FinishSum(partials, parts, twice_cols, j);
  if (threadIdx.y != 0 || j >= twice_cols) return;
  if (j < cols) {
    d_beta[j] = static_cast<float>(sum);
    factors[j] = gamma[j] * inv_std[j];
  } else {
    d_gamma[j - cols] = static_cast<float>(sum);
  }
  factors[cols + j] = static_cast<float>(sum / static_cast<double>(rows > 0 ? rows : 1));
}

// For blocks b of n_b values with mean m_b and sum of squared distances q_b from it, and any shift
// k:
//
//   mean = k + sum n_b (m_b - k) / N
//   sum of squared distances = sum q_b + n_b (m_b - k)^2 - N (mean - k)^2
//
// With k = m_0 the cancellation in the difference is at most by a factor of the number of blocks,
// in double: n_0 (m_0 - mean)^2 is part of the result itself.
__global__ void __launch_bounds__(kFinishThreads)
    FinishMomentsKernel(const float* partials, int64_t blocks, int64_t cols, int64_t rows,
                        BatchNormMoments out) {
  const int64_t j = FirstIndex();
  double shift = 0.0, sum = 0.0, squares = 0.0;
  if (j < cols) {
    shift = static_cast<double>(partials[j]);
    for (int64_t first = threadIdx.y; first < blocks; first += kInFlight * blockDim.y) {
      float means[kInFlight], distances[kInFlight];
      PROTOPAGE_UNROLL
      for (int r = 0; r < kInFlight; ++r) {
        const int64_t block = first + r * blockDim.y;
        const float* part = partials + 2 * (block < blocks ? block : first) * cols + j;
        means[r] = part[0];
        distances[r] = part[cols];
      }
      PROTOPAGE_UNROLL
      for (int r = 0; r < kInFlight; ++r) {
        const int64_t rest = rows - (first + r * blockDim.y) * kColumnBlockRows;
        if (rest <= 0) continue;
        const double count = static_cast<double>(rest < kColumnBlockRows ? rest : kColumnBlockRows);
        const double distance = static_cast<double>(means[r]) - shift;
        sum += count * distance;
        squares += static_cast<double>(distances[r]) + count * distance * distance;
      }
    }
  }
  sum = SumOverY(sum);
  squares = SumOverY(squares);
  if (threadIdx.y != 0 || j >= cols) return;
  const double count = static_cast<double>(rows);
  const double mean = shift + sum / count;
  const double variance = (squares - sum * sum / count) / count;
  const double inv_std = 1.0 / sqrt(variance + static_cast<double>(out.epsilon));
  const double keep = static_cast<double>(out.momentum);
  out.saved_mean[j] = static_cast<float>(mean);
  out.saved_inv_std[j] = static_cast<float>(inv_std);
  out.scale[j] = static_cast<float>(static_cast<double>(out.gamma[j]) * inv_std);
  out.running_mean[j] =
      static_cast<float>(keep * static_cast<double>(out.running_mean[j]) + (1.0 - keep) * mean);
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

cudaError_t LaunchSumParts(cudaStream_t stream, const float* parts, int64_t num_parts, int64_t n,
                           float* y) {
  if (n == 0) return cudaSuccess;
  return LaunchFinish(stream, FinishSumsKernel, parts, num_parts, n, y);
}

// Without rows there are no blocks, and the sums are 0.
static cudaError_t LaunchFinishSums(cudaStream_t stream, const float* partials, int64_t rows,
                                    int64_t cols, float* totals) {
  return LaunchSumParts(stream, partials, DivideUp(rows, kColumnBlockRows), cols, totals);
}

cudaError_t LaunchColumnSums(cudaStream_t stream, const float* d_y, int64_t rows, int64_t cols,
                             float* partials, float* d_bias) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = WithFormatAndWidth(
        NumberFormat::kFloat32, InPacks(cols, {d_y}, NumberFormat::kFloat32, {}),
        [&](auto, auto width) {
          return LaunchPartialSums(stream, GradientTerms<decltype(width)::value>{d_y}, rows, cols,
                                   partials);
        });
    if (error != cudaSuccess) return error;
  }
  return LaunchFinishSums(stream, partials, rows, cols, d_bias);
}

cudaError_t LaunchOutputGradient(cudaStream_t stream, NumberFormat format, const void* y,
                                 int64_t rows, int64_t cols, void* d_y, float* partials,
                                 float* d_bias) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = WithFormatAndWidth(
        format, InPacks(cols, {}, format, {y, d_y}), [&](auto stored, auto width) {
          using Format = decltype(stored);
          return LaunchPartialSums(stream,
                                   OutputGradientTerms<Format, decltype(width)::value>{
                                       {StoredAs<Format>(y), StoredAs<Format>(d_y)}},
                                   rows, cols, partials);
        });
    if (error != cudaSuccess) return error;
  }
  if (d_bias == nullptr) return cudaSuccess;
  return LaunchFinishSums(stream, partials, rows, cols, d_bias);
}

cudaError_t LaunchMoments(cudaStream_t stream, NumberFormat format, const void* x, int64_t rows,
                          int64_t cols, float* partials, const BatchNormMoments& moments) {
  if (cols == 0) return cudaSuccess;
  const cudaError_t error =
      WithFormatAndWidth(format, InPacks(cols, {}, format, {x}), [&](auto stored, auto width) {
        using Format = decltype(stored);
        constexpr int kWidth = decltype(width)::value;
        const RowBlocks<kWidth> launch(rows, cols);
        return Launch(stream, launch.grid, launch.block, 2 * launch.kSumBytes,
                      PartialMomentsKernel<Format, kWidth>, StoredAs<Format>(x), rows, cols,
                      partials);
      });
  if (error != cudaSuccess) return error;
  return LaunchFinish(stream, FinishMomentsKernel, partials, DivideUp(rows, kColumnBlockRows), cols,
                      rows, moments);
}

cudaError_t LaunchBatchNormBackward(cudaStream_t stream, const BatchNormGradient& g, int64_t rows,
                                    int64_t cols, float* partials, float* factors) {
  if (cols == 0) return cudaSuccess;
  if (rows > 0) {
    const cudaError_t error = WithFormatAndWidth(
        g.format, InPacks(cols, {g.mean, g.inv_std}, g.format, {g.x, g.y, g.d_y}),
        [&](auto stored, auto width) {
          using Format = decltype(stored);
          return LaunchPartialSums(stream,
                                   NormBackwardTerms<Format, decltype(width)::value>{
                                       StoredAs<Format>(g.x),
                                       g.mean,
                                       g.inv_std,
                                       {StoredAs<Format>(g.y), StoredAs<Format>(g.d_y)},
                                       {},
                                       {}},
                                   rows, cols, partials);
        });
    if (error != cudaSuccess) return error;
  }
  const cudaError_t error =
      LaunchFinish(stream, FinishNormBackwardKernel, partials, DivideUp(rows, kColumnBlockRows),
                   2 * cols, rows, g.gamma, g.inv_std, g.d_gamma, g.d_beta, factors);
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
