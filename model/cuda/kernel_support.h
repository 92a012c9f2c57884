// Helpers that the kernels share: grid sizes, aligned packs of elements, division by a launch
// constant, and reductions over a warp or a block in a fixed order.
//
//   __global__ void DoubleKernel(float* x, int64_t n) {
//     for (int64_t i = FirstIndex(); i < n; i += IndexStride()) x[i] *= 2.0f;
//   }
//   ...
//   Launch(stream, GridFor(n), kBlockThreads, /*shared_bytes=*/0, DoubleKernel, x, n);
//
// The size of a grid is bounded and its threads stride, so that any n fits; no result depends on
// the number of blocks.
#ifndef PROTOPAGE_MODEL_CUDA_KERNEL_SUPPORT_H_
#define PROTOPAGE_MODEL_CUDA_KERNEL_SUPPORT_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "protopage/base/divide_up.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kBlockThreads = 256;
// 8 blocks of 256 threads fill a multiprocessor; an H100 has 132 of them.
constexpr int64_t kMaxBlocks = 1024;

// The grid for `n` > 0 items, one per thread up to the largest grid.
inline dim3 GridFor(int64_t n, int64_t items_per_block = kBlockThreads) {
  return dim3(static_cast<unsigned>(std::min(kMaxBlocks, DivideUp(n, items_per_block))));
}
__device__ __forceinline__ int64_t FirstIndex() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t IndexStride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// V elements that one instruction loads or stores; the address must be a multiple of their size.
template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T v[V];
};
template <int V, typename T>
__device__ __forceinline__ Pack<T, V> LoadPack(const T* p) {
  return *reinterpret_cast<const Pack<T, V>*>(p);
}
template <int V, typename T>
__device__ __forceinline__ void StorePack(T* p, const Pack<T, V>& pack) {
  *reinterpret_cast<Pack<T, V>*>(p) = pack;
}
// Whether all pointers are multiples of `bytes`; a null pointer is.
inline bool Aligned(std::initializer_list<const void*> pointers, uintptr_t bytes = 16) {
  return std::all_of(pointers.begin(), pointers.end(), [bytes](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % bytes == 0;
  });
}

// Division by a launch constant d, for n < 2^31, by a product and a shift: Granlund and Montgomery,
// "Division by Invariant Integers using Multiplication" (PLDI 1994).
class FastDivide {
 public:
  // 1 <= divisor < 2^31
  explicit FastDivide(int64_t divisor) : divisor_(static_cast<uint32_t>(divisor)), shift_(0) {
    while ((uint64_t{1} << shift_) < divisor_) ++shift_;
    multiplier_ = static_cast<uint32_t>(
        ((uint64_t{1} << 32) * ((uint64_t{1} << shift_) - divisor_)) / divisor_ + 1);
  }
  __device__ __forceinline__ uint32_t Quotient(uint32_t n) const {
    return (static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier_) >> 32) + n) >> shift_;
  }
  // Sets *rest to the remainder and returns the quotient.
  __device__ __forceinline__ uint32_t Split(uint32_t n, uint32_t* rest) const {
    const uint32_t quotient = Quotient(n);
    *rest = n - quotient * divisor_;
    return quotient;
  }

 private:
  uint32_t divisor_, multiplier_;
  int shift_;
};

// Returns the sum to every lane of the warp. All lanes must call it.
template <typename T>
__device__ __forceinline__ T WarpSum(T value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, lanes);
  }
  return value;
}

// Returns the sum to every thread of a block of (a multiple of 32, 1, 1) threads. `shared` holds a
// T for each warp; consecutive calls may use the same. All threads must call it.
template <typename T>
__device__ __forceinline__ T BlockSum(T value, T* shared) {
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = WarpSum(value);
  if (warps == 1) return value;
  __syncthreads();  // Other threads may still read the sums of the previous call.
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = shared[0];
  for (int warp = 1; warp < warps; ++warp) sum += shared[warp];
  return sum;
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_KERNEL_SUPPORT_H_
