// What a source of this folder needs of CUDA, real or emulated: the one place that
// knows which. Sources include this instead of any header of CUDA:
//
//   __global__ void Scale(float* x, float by, int n) {
//     const int i = blockIdx.x * blockDim.x + threadIdx.x;
//     if (i < n) x[i] *= by;
//   }
//   ...
//   const cudaError_t error = Launch(stream, dim3((n + 255) / 256), dim3(256),
//                                    /*shared_bytes=*/0, Scale, x, 0.5f, n);
//
// Compiled by nvcc, everything is CUDA's. Compiled with -DPROTOPAGE_CUDA_EMULATION by
// the ordinary compiler, with no header of CUDA, the same names are those of
// model/cuda/emulation/ (its headers list what there is), which runs kernels on the
// CPU and finds what a device would not tell. Where the emulation is narrower than
// CUDA, keep to the emulation: shared memory comes from DynamicShared() alone,
// floats are exchanged by the three __shfl_*_sync of whole warps, all streams
// are non-blocking.
//
// Of our own, in both worlds:
//   Launch(stream, grid, block, shared_bytes, kernel, arguments...)
//       queues a kernel; the arguments are converted to what it takes.
//   DynamicShared<T>()
//       the block's shared memory, as many bytes as the launch said, aligned to 16.
//   ToHalfBits(x), FromHalfBits(bits), ToBf16Bits(x), FromBf16Bits(bits)
//       between float32 and the bits of a 16-bit float, on host and device: to the
//       nearest, ties to even; infinities and NaN stay what they are.
#ifndef PROTOPAGE_MODEL_CUDA_PLATFORM_H_
#define PROTOPAGE_MODEL_CUDA_PLATFORM_H_

#ifdef PROTOPAGE_CUDA_EMULATION

#include "model/cuda/emulation/cublas.h"
#include "model/cuda/emulation/device.h"
#include "model/cuda/emulation/runtime.h"

#else

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

namespace protopage {

template <typename T>
__device__ __forceinline__ T* DynamicShared() {
  extern __shared__ __align__(16) unsigned char protopage_shared_memory[];
  return reinterpret_cast<T*>(protopage_shared_memory);
}

__host__ __device__ inline uint16_t ToHalfBits(float x) {
  return __half_as_ushort(__float2half_rn(x));
}
__host__ __device__ inline float FromHalfBits(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}
__host__ __device__ inline uint16_t ToBf16Bits(float x) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
__host__ __device__ inline float FromBf16Bits(uint16_t bits) {
  return __bfloat162float(__ushort_as_bfloat16(bits));
}

template <typename... P, typename... A>
cudaError_t Launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*kernel)(P...), A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  std::tuple<P...> parameters(static_cast<P>(std::forward<A>(args))...);
  return std::apply(
      [&](P&... p) {
        // One more, as there is no array of none.
        void* pointers[] = {static_cast<void*>(&p)..., nullptr};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers,
                                shared_bytes, stream);
      },
      parameters);
}

}  // namespace protopage

#endif

#endif  // PROTOPAGE_MODEL_CUDA_PLATFORM_H_
