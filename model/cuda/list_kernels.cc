#include "protopage/model/cuda/list_kernels.h"

#include <algorithm>
#include <cmath>

#include "protopage/model/cuda/kernel_support.h"

namespace protopage {
namespace {

// Calls update.template Apply<V>(entry, i) for the elements of the block's chunk, in packs of 4 if
// the entry is aligned: the first element of a chunk is a multiple of 4.
template <typename Update>
__global__ void UpdateKernel(Update update, const UpdateEntry* entries, const Chunk* chunks) {
  const Chunk chunk = chunks[blockIdx.x];
  const UpdateEntry entry = entries[chunk.entry];
  const int64_t end = chunk.first + chunk.count;
  int64_t rest = chunk.first;
  if (entry.aligned != 0) {
    rest += chunk.count / 4 * 4;
    for (int64_t i = chunk.first + 4 * threadIdx.x; i < rest; i += 4 * blockDim.x) {
      update.template Apply<4>(entry, i);
    }
  }
  for (int64_t i = rest + threadIdx.x; i < end; i += blockDim.x) {
    update.template Apply<1>(entry, i);
  }
}

template <typename Update>
cudaError_t LaunchUpdate(cudaStream_t stream, const Update& update, const UpdateEntry* entries,
                         const Chunk* chunks, int64_t num_chunks) {
  if (num_chunks == 0) return cudaSuccess;
  return Launch(stream, dim3(static_cast<unsigned>(num_chunks)), kBlockThreads, 0,
                UpdateKernel<Update>, update, entries, chunks);
}

struct AdamUpdate {
  AdamStep step;
  template <int V>
  __device__ void Apply(const UpdateEntry& entry, int64_t i) const {
    Pack<float, V> w = LoadPack<V>(entry.value + i), m = LoadPack<V>(entry.state1 + i);
    Pack<float, V> v = LoadPack<V>(entry.state2 + i);
    const Pack<float, V> g = LoadPack<V>(entry.gradient + i);
    const float keep1 = 1.0f - step.beta1;
    const float keep2 = 1.0f - step.beta2;
    const float decay = entry.decay != 0 ? step.decay : 1.0f;
    for (int l = 0; l < V; ++l) {
      m.v[l] = step.beta1 * m.v[l] + keep1 * g.v[l];
      v.v[l] = step.beta2 * v.v[l] + keep2 * (g.v[l] * g.v[l]);
      w.v[l] = decay * w.v[l] -
               step.scale1 * m.v[l] / (sqrtf(v.v[l]) * step.inverse_sqrt_bias2 + step.epsilon);
    }
    StorePack(entry.value + i, w);
    StorePack(entry.state1 + i, m);
    StorePack(entry.state2 + i, v);
  }
};

struct SgdUpdate {
  SgdStep step;
  template <int V>
  __device__ void Apply(const UpdateEntry& entry, int64_t i) const {
    Pack<float, V> w = LoadPack<V>(entry.value + i);
    Pack<float, V> g = LoadPack<V>(entry.gradient + i);
    const float decay = entry.decay != 0 ? step.weight_decay : 0.0f;
    for (int l = 0; l < V; ++l) g.v[l] += decay * w.v[l];
    if (entry.state1 == nullptr) {
      for (int l = 0; l < V; ++l) w.v[l] -= step.learning_rate * g.v[l];
      StorePack(entry.value + i, w);
      return;
    }
    const float ahead = step.nesterov ? step.momentum : 1.0f;
    const float direct = step.nesterov ? 1.0f : 0.0f;
    Pack<float, V> v = LoadPack<V>(entry.state1 + i);
    for (int l = 0; l < V; ++l) {
      v.v[l] = step.momentum * v.v[l] + g.v[l];
      w.v[l] -= step.learning_rate * (direct * g.v[l] + ahead * v.v[l]);
    }
    StorePack(entry.value + i, w);
    StorePack(entry.state1 + i, v);
  }
};

// The difference is NaN for infinities and NaN.
__device__ bool IsFinite(float x) { return x - x == 0.0f; }

// The elements of a chunk that a thread reads, all in flight at once. In place of elements past the
// end it reads the first one again, because a branch might wait for the loads.
constexpr int kChunkLoads = kChunkElements / kBlockThreads;
static_assert(kChunkElements % kBlockThreads == 0);

__global__ void FindNonFiniteKernel(const float* const* entries, const Chunk* chunks,
                                    int64_t num_chunks, int32_t* found) {
  int32_t count = 0;
  for (int64_t c = blockIdx.x; c < num_chunks; c += gridDim.x) {
    const Chunk chunk = chunks[c];
    const float* x = entries[chunk.entry] + chunk.first;
    float values[kChunkLoads];
    PROTOPAGE_UNROLL
    for (int r = 0; r < kChunkLoads; ++r) {
      const int i = static_cast<int>(threadIdx.x) + r * kBlockThreads;
      values[r] = x[i < chunk.count ? i : 0];
    }
    PROTOPAGE_UNROLL
    for (int r = 0; r < kChunkLoads; ++r) {
      if (!IsFinite(values[r])) count = 1;
    }
  }
  count = BlockSum(count, DynamicShared<int32_t>());
  // Any number of blocks may write.
  if (threadIdx.x == 0 && count > 0) atomicOr(found, 1);
}

constexpr size_t kSharedDoubles = sizeof(double) * kBlockThreads / kWarp;

// With a block for each chunk.
__global__ void SquareSumKernel(float* const* entries, const Chunk* chunks, double* sums) {
  const Chunk chunk = chunks[blockIdx.x];
  const float* x = entries[chunk.entry] + chunk.first;
  double sum = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < chunk.count; i += static_cast<int>(blockDim.x)) {
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  sum = BlockSum(sum, DynamicShared<double>());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// In one block. *factor is 1 if nothing is to be scaled.
__global__ void NormKernel(const double* sums, int64_t n, double max_norm, float* factor,
                           float* norm) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += sums[i];
  sum = BlockSum(sum, DynamicShared<double>());
  if (threadIdx.x > 0) return;
  const double length = sqrt(sum);
  *norm = static_cast<float>(length);
  const bool clip = length - length == 0.0 && length > max_norm;
  *factor = clip ? static_cast<float>(max_norm / length) : 1.0f;
}

__global__ void ScaleListKernel(float* const* entries, const Chunk* chunks, const float* factor) {
  const float by = *factor;
  if (by == 1.0f) return;
  const Chunk chunk = chunks[blockIdx.x];
  float* x = entries[chunk.entry] + chunk.first;
  for (int i = static_cast<int>(threadIdx.x); i < chunk.count; i += static_cast<int>(blockDim.x)) {
    x[i] *= by;
  }
}

}  // namespace

void AddChunks(int32_t entry, int64_t elements, std::vector<Chunk>* chunks) {
  for (int64_t first = 0; first < elements; first += kChunkElements) {
    chunks->push_back(
        {first, static_cast<int32_t>(std::min(kChunkElements, elements - first)), entry});
  }
}

cudaError_t LaunchAdam(cudaStream_t stream, const AdamStep& step, const UpdateEntry* entries,
                       const Chunk* chunks, int64_t num_chunks) {
  return LaunchUpdate(stream, AdamUpdate{step}, entries, chunks, num_chunks);
}

cudaError_t LaunchSgd(cudaStream_t stream, const SgdStep& step, const UpdateEntry* entries,
                      const Chunk* chunks, int64_t num_chunks) {
  return LaunchUpdate(stream, SgdUpdate{step}, entries, chunks, num_chunks);
}

cudaError_t LaunchClipNorm(cudaStream_t stream, float* const* entries, const Chunk* chunks,
                           int64_t num_chunks, float max_norm, double* sums, float* factor,
                           float* norm) {
  const dim3 blocks(static_cast<unsigned>(num_chunks));
  cudaError_t error = cudaSuccess;
  if (num_chunks > 0) {
    error = Launch(stream, blocks, kBlockThreads, kSharedDoubles, SquareSumKernel, entries, chunks,
                   sums);
  }
  if (error == cudaSuccess) {
    error = Launch(stream, dim3(1), kBlockThreads, kSharedDoubles, NormKernel, sums, num_chunks,
                   static_cast<double>(max_norm), factor, norm);
  }
  if (error != cudaSuccess || num_chunks == 0) return error;
  return Launch(stream, blocks, kBlockThreads, 0, ScaleListKernel, entries, chunks, factor);
}

cudaError_t LaunchFindNonFinite(cudaStream_t stream, const float* const* entries,
                                const Chunk* chunks, int64_t num_chunks, int32_t* found) {
  if (num_chunks == 0) return cudaSuccess;
  return Launch(stream, dim3(static_cast<unsigned>(std::min(kMaxBlocks, num_chunks))),
                kBlockThreads, sizeof(int32_t) * kBlockThreads / kWarp, FindNonFiniteKernel,
                entries, chunks, num_chunks, found);
}

}  // namespace protopage
