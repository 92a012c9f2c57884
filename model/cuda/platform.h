// The CUDA interface that the sources of this folder use, real or emulated. This is the only file
// that depends on which. Sources include it instead of any header of CUDA:
//
//   __global__ void Scale(float* x, float by, int n) {
//     const int i = blockIdx.x * blockDim.x + threadIdx.x;
//     if (i < n) x[i] *= by;
//   }
//   ...
//   const cudaError_t error = Launch(stream, dim3((n + 255) / 256), dim3(256),
//                                    /*shared_bytes=*/0, Scale, x, 0.5f, n);
//
// Compiled by nvcc, everything is CUDA's. Compiled with -DPROTOPAGE_CUDA_EMULATION by the ordinary
// compiler, without any header of CUDA, the same names are those of model/cuda/emulation/ (its
// headers list them), which runs kernels on the CPU and finds errors that a device would not
// report. The emulation is narrower than CUDA, and sources must stay within it: shared memory comes
// from DynamicShared() only; floats are exchanged by the three __shfl_*_sync, by whole warps, and
// order no memory accesses; the only atomic operation is atomicOr of an int; all streams are
// non-blocking.
//
// Additional functions, in both worlds:
//   Launch(stream, grid, block, shared_bytes, kernel, arguments...)
//       Queues a kernel; the arguments are converted to the types of its parameters.
//   DynamicShared<T>()
//       The shared memory of the block, of the size given at launch, aligned to 16 bytes.
//   ToHalfBits(x), FromHalfBits(bits), ToBf16Bits(x), FromBf16Bits(bits)
//       Convert between float32 and the bits of a 16-bit float, on host and device: to nearest,
//       ties to even; infinities and NaNs are preserved.
//   ToTf32Bits(x)
//       Rounds to a float32 with 10 bits of fraction, on the device: to nearest, ties away from
//       zero.
//   MultiplyAddTf32(a, b, sums), MultiplyAddBf16(a, b, sums), MultiplyAddFp16(a, b, sums)
//       On tensor cores, called by all lanes of a warp: sums [16, 8] += a [16, 8 words] b [8 words,
//       8], in words of one TF32 or two 16-bit numbers. Lane l, with g = l / 4 and q = l % 4, holds
//       words (g, q), (g + 8, q), (g, q + 4) and (g + 8, q + 4) of a, words (q, g) and (q + 4, g)
//       of b, and the sums (g, 2q), (g, 2q + 1), (g + 8, 2q) and (g + 8, 2q + 1): m16n8k8 and
//       m16n8k16 of the PTX ISA.
//   LoadMatrices(row, words), LoadMatricesTransposed(row, words)
//       Load 4 matrices of 8 rows of 4 words from shared memory, called by all lanes of a warp.
//       Lane l points to row l % 8 of matrix l / 8, aligned to 16 bytes, and gets from each matrix
//       word l % 4 of row l / 4; transposed, from matrices of 8 rows of 8 16-bit numbers, those of
//       column l / 4 in rows 2 (l % 4) and 2 (l % 4) + 1: ldmatrix of the PTX ISA.
//   CopyAsync16(shared, global, inside), CommitCopies(), WaitForCopies<N>()
//       Asynchronous copies of 16 bytes, of zeros unless `inside`. A copy is done once the thread
//       has waited for all but the last N groups that it committed; other threads see it after a
//       barrier.
//   PROTOPAGE_UNROLL
//       Unrolls the loop that follows, which indexes registers.
#ifndef PROTOPAGE_MODEL_CUDA_PLATFORM_H_
#define PROTOPAGE_MODEL_CUDA_PLATFORM_H_

#ifdef PROTOPAGE_CUDA_EMULATION

#include "protopage/model/cuda/emulation/async_copy.h"
#include "protopage/model/cuda/emulation/cublas.h"
#include "protopage/model/cuda/emulation/device.h"
#include "protopage/model/cuda/emulation/runtime.h"
#include "protopage/model/cuda/emulation/tensor_core.h"

#define PROTOPAGE_UNROLL

#else

#define PROTOPAGE_UNROLL _Pragma("unroll")

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

__device__ inline uint32_t ToTf32Bits(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

#define PROTOPAGE_MULTIPLY_ADD(name, instruction)                                              \
  __device__ inline void name(const uint32_t(&a)[4], const uint32_t(&b)[2], float(&sums)[4]) { \
    asm volatile("mma.sync.aligned." instruction                                               \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));          \
  }
PROTOPAGE_MULTIPLY_ADD(MultiplyAddTf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
PROTOPAGE_MULTIPLY_ADD(MultiplyAddBf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
PROTOPAGE_MULTIPLY_ADD(MultiplyAddFp16, "m16n8k16.row.col.f32.f16.f16.f32")
#undef PROTOPAGE_MULTIPLY_ADD

#define PROTOPAGE_LOAD_MATRICES(name, variant)                                                 \
  __device__ inline void name(const uint32_t* row, uint32_t(&words)[4]) {                      \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" variant ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])              \
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))                   \
                 : "memory");                                                                  \
  }
PROTOPAGE_LOAD_MATRICES(LoadMatrices, "")
PROTOPAGE_LOAD_MATRICES(LoadMatricesTransposed, ".trans")
#undef PROTOPAGE_LOAD_MATRICES

__device__ inline void CopyAsync16(uint32_t* shared, const void* global, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))), "l"(global),
                 "r"(inside ? 16 : 0)
               : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <int kGroups>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kGroups) : "memory");
}

template <typename... P, typename... A>
cudaError_t Launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes,
                   void (*kernel)(P...), A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "the kernel takes another number of arguments");
  std::tuple<P...> parameters(static_cast<P>(std::forward<A>(args))...);
  return std::apply(
      [&](P&... p) {
        // One more element, because an array cannot be empty.
        void* pointers[] = {static_cast<void*>(&p)..., nullptr};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers,
                                shared_bytes, stream);
      },
      parameters);
}

}  // namespace protopage

#endif

#endif  // PROTOPAGE_MODEL_CUDA_PLATFORM_H_
