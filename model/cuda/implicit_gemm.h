// Convolutions on tensor cores without the matrix of their windows: the product that
// model/cuda/window_kernels.h describes, except that tiles of the matrix are read from x when they
// are needed (an implicit GEMM). This avoids writing and reading the matrix, which is nine times as
// large as x for a 3 x 3 kernel.
//
//   if (ImplicitGemmSupports(window)) {
//     // Not needed if window.in_c is ImplicitChannels(precision, window.in_c):
//     LaunchPadChannels(stream, precision, x, pixels, window.in_c, padded_x);
//     LaunchPackKernel(stream, window, precision, w, packed);
//     LaunchImplicitGemm(stream, window, precision, padded_x, packed, bias, relu, y);
//   }
//
// x and y are feature maps in the format of the Precision; x has ImplicitChannels()
// (model/cuda/implicit_windows.h). Sums are in float32. A float32 product is three products of TF32
// (model/cuda/tensor_core.h). Formulas and shapes are those of model/backend.h; pointers are to
// device memory.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/precision.h"

namespace protopage {

// Whether batch > 0, out_c is a multiple of 8, each side of the window fits into 15 bits, and the
// total number of pixels into 31 bits. x, w and y must be aligned to 16 bytes.
bool ImplicitGemmSupports(const Window2d& window);
// Whether this is faster than columns and cuBLAS, as measured in docs/gpu.md: if there are enough
// positions to occupy the whole device, and so few channels of y that columns would not be read
// often enough to be worth computing.
bool ImplicitGemmIsFaster(const Window2d& window, Precision precision);

// padded [pixels, ImplicitChannels(precision, channels)] = x [pixels, channels], padded with 0.
cudaError_t LaunchPadChannels(cudaStream_t stream, Precision precision, const void* x,
                              int64_t pixels, int64_t channels, void* padded);

// Rounds w [kernel_h, kernel_w, in_c, out_c] to the precision and packs it in the layout that
// LaunchImplicitGemm reads: out_c rows of window elements.
int64_t PackedKernelBytes(const Window2d& window, Precision precision);
cudaError_t LaunchPackKernel(cudaStream_t stream, const Window2d& window, Precision precision,
                             const float* w, void* packed);

// y = conv(x, w) + bias, or the maximum of that and 0 with `relu`; bias may be null. Requires
// ImplicitGemmSupports(window).
cudaError_t LaunchImplicitGemm(cudaStream_t stream, const Window2d& window, Precision precision,
                               const void* x, const void* packed, const float* bias, bool relu,
                               void* y);

// Whether d_x is a convolution of d_y with the flipped kernel (taps in reverse order, each
// transposed): if the strides are 1.
bool HasGradientWindow(const Window2d& window);
// The window of that convolution.
Window2d GradientWindow(const Window2d& window);
// Packs the flipped kernel for that convolution; w is the kernel of `window`.
cudaError_t LaunchPackFlippedKernel(cudaStream_t stream, const Window2d& window,
                                    Precision precision, const float* w, void* packed);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
