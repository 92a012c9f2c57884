#include "protopage/model/cuda/row_kernels.h"

// margin_target.h is for both sides.
#define PROTOPAGE_HOST_DEVICE __host__ __device__

#include <cmath>

#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/margin_target.h"

namespace protopage {
namespace {

// --- A warp for each row -----------------------------------------------------------------------

// Calls body(row, lane) for the rows of a warp. All lanes get the same rows.
template <typename Body>
__device__ __forceinline__ void ForRowsOfWarp(int64_t rows, const Body& body) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t row = FirstIndex() / kWarp; row < rows; row += IndexStride() / kWarp) {
    body(row, lane);
  }
}
dim3 WarpGrid(int64_t rows) { return GridFor(rows, kBlockThreads / kWarp); }

__device__ double WarpDot(const float* x, const float* y, int64_t d, int lane) {
  double sum = 0.0;
  for (int64_t j = lane; j < d; j += kWarp) {
    sum += static_cast<double>(x[j]) * static_cast<double>(y[j]);
  }
  return WarpSum(sum);
}

// A lower bound of norms; Keras' l2_normalize uses 1e-10 for the square.
constexpr double kMinNorm = 1e-5;

__global__ void L2NormalizeRowsKernel(const float* x, int64_t rows, int64_t d, float* y,
                                      float* norms) {
  ForRowsOfWarp(rows, [&](int64_t row, int lane) {
    const float* in = x + row * d;
    const double length = sqrt(WarpDot(in, in, d, lane));
    const double norm = length < kMinNorm ? kMinNorm : length;
    if (lane == 0) norms[row] = static_cast<float>(norm);
    const float scale = static_cast<float>(1.0 / norm);
    for (int64_t j = lane; j < d; j += kWarp) y[row * d + j] = in[j] * scale;
  });
}

__global__ void L2NormalizeRowsBackwardKernel(const float* y, const float* norms, const float* d_y,
                                              int64_t rows, int64_t d, float* d_x) {
  ForRowsOfWarp(rows, [&](int64_t row, int lane) {
    const float along = static_cast<float>(WarpDot(d_y + row * d, y + row * d, d, lane));
    const float scale = 1.0f / norms[row];
    for (int64_t j = lane; j < d; j += kWarp) {
      d_x[row * d + j] = (d_y[row * d + j] - along * y[row * d + j]) * scale;
    }
  });
}

// In every loop below a lane processes the elements j = lane, lane + 32, ... of a row, so that it
// reads back only values that it wrote itself.

__device__ bool WarpIsZero(const float* x, int64_t d, int lane) {
  int other = 0;
  for (int64_t j = lane; j < d; j += kWarp) other |= x[j] != 0.0f ? 1 : 0;
  return WarpSum(other) == 0;
}

// x -= (x . w) w
__device__ void Project(const float* w, int64_t d, int lane, float* x) {
  const double along = WarpDot(x, w, d, lane);
  for (int64_t j = lane; j < d; j += kWarp) {
    x[j] = static_cast<float>(static_cast<double>(x[j]) - along * static_cast<double>(w[j]));
  }
}

// w /= |w|
__device__ void Renormalize(int64_t d, int lane, float* w) {
  const double scale = 1.0 / sqrt(WarpDot(w, w, d, lane));
  for (int64_t j = lane; j < d; j += kWarp) {
    w[j] = static_cast<float>(static_cast<double>(w[j]) * scale);
  }
}

__global__ void RowMomentumKernel(float learning_rate, float momentum, const int32_t* away,
                                  int64_t rows, int64_t d, float* w_rows, float* v_rows,
                                  float* g_rows) {
  ForRowsOfWarp(rows, [&](int64_t row, int lane) {
    float* w = w_rows + row * d;
    float* v = v_rows + row * d;
    float* g = g_rows + row * d;
    // Renormalising would change the last bits of a row that the update does not change.
    const bool still = WarpIsZero(v, d, lane);
    if (WarpIsZero(g, d, lane) && still) return;
    if (away[row] > 0) {
      const float decay =
          static_cast<float>(pow(static_cast<double>(momentum), static_cast<double>(away[row])));
      for (int64_t j = lane; j < d; j += kWarp) v[j] *= decay;
    }
    Project(w, d, lane, v);
    Project(w, d, lane, g);
    for (int64_t j = lane; j < d; j += kWarp) {
      v[j] = momentum * v[j] + g[j];
      w[j] -= learning_rate * v[j];
    }
    Renormalize(d, lane, w);
    Project(w, d, lane, v);
  });
}

__global__ void RowAdagradKernel(float learning_rate, float epsilon, int64_t rows, int64_t d,
                                 float* w_rows, float* accumulator, float* g_rows) {
  ForRowsOfWarp(rows, [&](int64_t row, int lane) {
    float* w = w_rows + row * d;
    float* g = g_rows + row * d;
    if (WarpIsZero(g, d, lane)) return;
    Project(w, d, lane, g);
    const double before = static_cast<double>(accumulator[row]);
    const double h = before + WarpDot(g, g, d, lane) / static_cast<double>(d);
    __syncwarp();  // All lanes have read the old accumulator.
    if (lane == 0) accumulator[row] = static_cast<float>(h);
    const float step = static_cast<float>(static_cast<double>(learning_rate) /
                                          (sqrt(h) + static_cast<double>(epsilon)));
    for (int64_t j = lane; j < d; j += kWarp) w[j] -= step * g[j];
    Renormalize(d, lane, w);
  });
}

// A lane copies a T at a time; d counts Ts.
template <typename T>
__global__ void CopyRowsKernel(const T* src, const int32_t* from, int64_t rows, int64_t d, T* dst) {
  ForRowsOfWarp(rows, [&](int64_t row, int lane) {
    const int64_t source = from[row];
    if (source < 0) return;
    for (int64_t j = lane; j < d; j += kWarp) dst[row * d + j] = src[source * d + j];
  });
}
template <typename T>
cudaError_t LaunchCopyRowsOf(cudaStream_t stream, const void* src, const int32_t* from,
                             int64_t rows, int64_t row_bytes, void* dst) {
  return Launch(stream, WarpGrid(rows), kBlockThreads, 0, CopyRowsKernel<T>,
                static_cast<const T*>(src), from, rows, row_bytes / static_cast<int64_t>(sizeof(T)),
                static_cast<T*>(dst));
}

// --- A block for each row ----------------------------------------------------------------------

// A value and its slot. The larger value wins, on ties the lower slot. A NaN is never replaced, and
// never replaces another value.
struct Best {
  float value;
  int32_t slot;
  __device__ void Take(float other, int32_t other_slot) {
    if (other > value || (other == value && other_slot < slot)) {
      value = other;
      slot = other_slot;
    }
  }
};

// Returns the best of the block to every thread. `shared` holds a Best for each warp.
__device__ Best BlockBest(Best best, Best* shared) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    const float value = __shfl_xor_sync(kAllLanes, best.value, lanes);
    const int32_t slot = __shfl_xor_sync(kAllLanes, best.slot, lanes);
    best.Take(value, slot);
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = best;
  __syncthreads();
  best = shared[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarp; ++warp) {
    best.Take(shared[warp].value, shared[warp].slot);
  }
  return best;
}

// The threads of a block, for few and for many classes.
constexpr int kFewThreads = 128, kManyThreads = 512;
struct MarginShared {
  Best best[kManyThreads / kWarp];
  double sums[kManyThreads / kWarp];
  double target, slope;
};

__global__ void __launch_bounds__(kManyThreads)
    MarginSoftmaxKernel(MarginParams params, const float* cosines, const int32_t* slots,
                        float grad_scale, int64_t rows, int64_t k, float* losses, float* d_cosines,
                        int32_t* predicted) {
  MarginShared* shared = DynamicShared<MarginShared>();
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* c = cosines + row * k;
    float* d = d_cosines + row * k;
    const int64_t y = slots[row];
    if (y < 0 || y >= k) {  // The same for all threads of the block.
      if (threadIdx.x == 0) losses[row] = NAN;
      continue;
    }
    // All begin with slot 0, like a loop over the slots, so that a NaN there remains the result.
    Best best = {c[0], 0};
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x) best.Take(c[j], static_cast<int32_t>(j));
    best = BlockBest(best, shared->best);
    if (threadIdx.x == 0) {
      predicted[row] = best.slot;
      MarginTarget(params, static_cast<double>(c[y]), &shared->target, &shared->slope);
    }
    __syncthreads();
    const float target = static_cast<float>(shared->target);
    const double slope = shared->slope;
    // The largest logit divided by the scale.
    Best largest = {target, -1};
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
      if (j != y) largest.Take(c[j], static_cast<int32_t>(j));
    }
    largest = BlockBest(largest, shared->best);
    // Each exponential is stored in d by the thread that scales it below.
    double sum = 0.0;
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
      const float e = expf(params.scale * ((j == y ? target : c[j]) - largest.value));
      d[j] = e;
      sum += static_cast<double>(e);
    }
    sum = BlockSum(sum, shared->sums);
    const double to_gradient = static_cast<double>(grad_scale) * static_cast<double>(params.scale);
    const float factor = static_cast<float>(to_gradient / sum);
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
      const float e = d[j];
      d[j] = j == y ? static_cast<float>(to_gradient * (static_cast<double>(e) / sum - 1.0) * slope)
                    : e * factor;
    }
    if (threadIdx.x == 0) {
      losses[row] = static_cast<float>(
          log(sum) - static_cast<double>(params.scale) *
                         (static_cast<double>(target) - static_cast<double>(largest.value)));
    }
    // The next row overwrites shared memory; the barriers of BlockSum came after its last read.
  }
}

}  // namespace

cudaError_t LaunchL2NormalizeRows(cudaStream_t stream, const float* x, int64_t rows, int64_t d,
                                  float* y, float* norms) {
  if (rows == 0) return cudaSuccess;
  return Launch(stream, WarpGrid(rows), kBlockThreads, 0, L2NormalizeRowsKernel, x, rows, d, y,
                norms);
}

cudaError_t LaunchL2NormalizeRowsBackward(cudaStream_t stream, const float* y, const float* norms,
                                          const float* d_y, int64_t rows, int64_t d, float* d_x) {
  if (rows == 0) return cudaSuccess;
  return Launch(stream, WarpGrid(rows), kBlockThreads, 0, L2NormalizeRowsBackwardKernel, y, norms,
                d_y, rows, d, d_x);
}

cudaError_t LaunchMarginSoftmax(cudaStream_t stream, const MarginParams& params,
                                const float* cosines, const int32_t* slots, float grad_scale,
                                int64_t rows, int64_t k, float* losses, float* d_cosines,
                                int32_t* predicted) {
  if (rows == 0) return cudaSuccess;
  const int threads = k < 2048 ? kFewThreads : kManyThreads;
  return Launch(stream, GridFor(rows, /*items_per_block=*/1), threads, sizeof(MarginShared),
                MarginSoftmaxKernel, params, cosines, slots, grad_scale, rows, k, losses, d_cosines,
                predicted);
}

cudaError_t LaunchRowMomentum(cudaStream_t stream, const RowMomentumParams& params,
                              const int32_t* away, int64_t rows, int64_t d, float* w, float* v,
                              float* g) {
  if (rows == 0) return cudaSuccess;
  return Launch(stream, WarpGrid(rows), kBlockThreads, 0, RowMomentumKernel, params.learning_rate,
                params.momentum, away, rows, d, w, v, g);
}

cudaError_t LaunchRowAdagrad(cudaStream_t stream, const RowAdagradParams& params, int64_t rows,
                             int64_t d, float* w, float* accumulator, float* g) {
  if (rows == 0) return cudaSuccess;
  return Launch(stream, WarpGrid(rows), kBlockThreads, 0, RowAdagradKernel, params.learning_rate,
                params.epsilon, rows, d, w, accumulator, g);
}

cudaError_t LaunchCopyRows(cudaStream_t stream, const void* src, const int32_t* from, int64_t rows,
                           int64_t row_bytes, void* dst) {
  if (rows == 0) return cudaSuccess;
  using Wide = Pack<uint32_t, 4>;
  if (row_bytes % 16 == 0 && Aligned({src, dst})) {
    return LaunchCopyRowsOf<Wide>(stream, src, from, rows, row_bytes, dst);
  }
  if (row_bytes % 4 == 0 && Aligned({src, dst}, 4)) {
    return LaunchCopyRowsOf<uint32_t>(stream, src, from, rows, row_bytes, dst);
  }
  return LaunchCopyRowsOf<uint8_t>(stream, src, from, rows, row_bytes, dst);
}

}  // namespace protopage
