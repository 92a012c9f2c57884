// The gradient of the kernel of a convolution on tensor cores, without the matrix of the windows:
// d_w = windows^T d_y, with tiles that are read from x when they are needed, as in
// model/cuda/implicit_gemm.h.
//
//   const int64_t parts = ImplicitGradientParts(window);
//   float* sums = ...;  // [parts, kernel_h, kernel_w, in_c, out_c]
//   LaunchImplicitGradient(stream, window, precision, x, d_y, parts, sums);
//   LaunchSumParts(stream, sums, parts, w_size, d_w);  // model/cuda/column_kernels.h
//
// The product is small, but sums over all positions: splitting these into parts, computed
// concurrently, occupies the whole device. x and d_y are feature maps in the format of the
// Precision; sums are float32. Pointers are to device memory.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/precision.h"

namespace protopage {

// The number of parts. It depends on the window alone, so that the bits of d_w do as well.
int64_t ImplicitGradientParts(const Window2d& window);

// Requires ImplicitGemmSupports(window). x must have ImplicitChannels(). x and d_y must be aligned
// to 16 bytes, sums to 8.
cudaError_t LaunchImplicitGradient(cudaStream_t stream, const Window2d& window, Precision precision,
                                   const void* x, const void* d_y, int64_t parts, float* sums);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_
