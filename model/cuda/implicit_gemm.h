// Convolutions on tensor cores without the matrix of their windows: the product that
// model/cuda/window_kernels.h describes, whose tiles are read from x when they are needed (an
// implicit GEMM). What the columns would be written and read again for, nine times x for a kernel
// of 3 x 3, is saved.
//
//   if (ImplicitGemmTakes(window)) {
//     // Unless window.in_c is that already:
//     LaunchPadChannels(stream, precision, x, pixels, window.in_c, padded_x);
//     LaunchPackKernel(stream, window, precision, w, packed);
//     LaunchImplicitGemm(stream, window, precision, padded_x, packed, bias, relu, y);
//   }
//
// x and y are feature maps as Precision has them, of x with ImplicitChannels()
// (model/cuda/implicit_windows.h); sums are float32. float32 is by three products of TF32
// (model/cuda/tensor_core.h). Formulas and shapes are those of model/backend.h; pointers are the
// device's.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/precision.h"

namespace protopage {

// Whether there are images, out_c is a multiple of 8, and the sizes of the window are within 15
// bits a side and 31 bits of pixels in all. x, w and y must lie at multiples of 16 bytes.
bool ImplicitGemmTakes(const Window2d& window);
// Whether it was faster than columns and cuBLAS, by docs/gpu.md: where there are enough positions
// for the whole device, and not so many channels of y that columns are read often enough to be
// worth their making.
bool ImplicitGemmIsFaster(const Window2d& window, Precision precision);

// padded [pixels, ImplicitChannels(precision, channels)] = x [pixels, channels], and 0.
cudaError_t LaunchPadChannels(cudaStream_t stream, Precision precision, const void* x,
                              int64_t pixels, int64_t channels, void* padded);

// w [kernel_h, kernel_w, in_c, out_c] rounded to the precision and as the kernels read it: out_c
// rows of windows.
int64_t PackedKernelBytes(const Window2d& window, Precision precision);
cudaError_t LaunchPackKernel(cudaStream_t stream, const Window2d& window, Precision precision,
                             const float* w, void* packed);

// y = conv(x, w) + bias, and max(0, that) with `relu`; bias may be null. `window` is one that it
// takes.
cudaError_t LaunchImplicitGemm(cudaStream_t stream, const Window2d& window, Precision precision,
                               const void* x, const void* packed, const float* bias, bool relu,
                               void* y);

// With strides of 1, d_x is the convolution of d_y by the flipped kernel: taps in reverse order,
// each transposed.
bool HasGradientWindow(const Window2d& window);
// The window of that convolution.
Window2d GradientWindow(const Window2d& window);
// Of that convolution, from w of `window`.
cudaError_t LaunchPackFlippedKernel(cudaStream_t stream, const Window2d& window,
                                    Precision precision, const float* w, void* packed);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_GEMM_H_
