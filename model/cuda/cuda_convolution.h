// Convolutions on a GPU: products of a matrix of the windows (window_kernels.h), in tiles that fit
// into the workspace, and the kernel. Arguments as in Backend::Conv2dForward and Conv2dBackward;
// void* are feature maps in context.format(); `bias`, `y` (without relu), `d_x` and `d_bias` may be
// null; batch > 0.
//
// d_w adds up over the tiles in order, d_x over the windows that read a pixel in order. Where the
// windows of one image take more than the workspace, d_x is rounded to its format once a tile.
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
