// Convolutions on a GPU: products of the matrix of the windows (window_kernels.h), in tiles that
// fit into the workspace, and the kernel; or without that matrix (implicit_gemm.h). The arguments
// are those of Backend::Conv2dForward and Conv2dBackward. void* arrays are feature maps in
// context.format(); `bias`, `y` (without relu), `d_x` and `d_bias` may be null; batch > 0.
//
// d_w is summed over the tiles in order, d_x over the windows that read a pixel in order. If the
// windows of one image do not fit into the workspace, d_x is rounded to its format once per tile.
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_CONVOLUTION_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_CONVOLUTION_H_

#include "absl/status/status.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_context.h"

namespace protopage {

absl::Status ConvolutionForward(CudaContext& context, const Window2d& window, const void* x,
                                const float* w, const float* bias, bool relu, void* y);
absl::Status ConvolutionBackward(CudaContext& context, const Window2d& window, const void* x,
                                 const float* w, const void* y, void* d_y, void* d_x, float* d_w,
                                 float* d_bias);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_CONVOLUTION_H_
