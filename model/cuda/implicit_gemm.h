// Convolutions on tensor cores without the matrix of their windows: the product that
// model/cuda/window_kernels.h describes, whose tiles are read from x when they are needed (an implicit
// GEMM). What the columns would be written and read again for, nine times x for a kernel of 3 x 3, is saved.
//
//   if (ImplicitGemmTakes(window)) LaunchImplicitGemm(stream, window, precision, x, w, bias, relu, y);
//
// x and y are feature maps as Precision has them, w is rounded to the precision on the way; sums are float32.
// Formulas and shapes are those of model/backend.h; pointers are the device's.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_

#include "model/backend.h"
#include "model/cuda/platform.h"
#include "model/precision.h"

namespace protopage {

// Whether out_c is a multiple of 8, and the sizes of the window are within 15 bits a side and 31 bits of pixels in all.
// Where in_c is a multiple of 4, x is loaded by 4 channels. x, w and y must lie at multiples of 16.
bool ImplicitGemmTakes(const Window2d& window);

// y = conv(x, w) + bias, and max(0, that) with `relu`; bias may be null. `window` is one that it takes,
// `precision` another than float32.
cudaError_t LaunchImplicitGemm(cudaStream_t stream, const Window2d& window, Precision precision,
                               const void* x, const float* w, const float* bias, bool relu,
                               void* y);

// With strides of 1, d_x is the convolution of d_y by the flipped kernel.
bool HasGradientWindow(const Window2d& window);
// The window of that convolution.
Window2d GradientWindow(const Window2d& window);
// flipped [kernel_h, kernel_w, out_c, in_c], of w [kernel_h, kernel_w, in_c, out_c]: the taps in reverse order,
// each transposed.
cudaError_t LaunchFlipKernel(cudaStream_t stream, const Window2d& window, const float* w,
                             float* flipped);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
