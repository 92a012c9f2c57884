// Convolution on the CPU, for Backend::Conv2dForward and Conv2dBackward, whose shapes and
// formulas hold here: pointers are to NHWC images and [kernel_h, kernel_w, in_c, out_c] kernels.
//
// The three products of a convolution are matrix products whose rows are read from, or added to,
// the images in place: a window is kernel_h runs of kernel_w * in_c floats. The batch is cut into
// blocks of a fixed number of images, whose activations fit in a core's L2 cache. Convolutions that
// WinogradTakes are computed by model/cpu/winograd.h.
#ifndef PROTOPAGE_MODEL_CPU_CONVOLUTION_H_
#define PROTOPAGE_MODEL_CPU_CONVOLUTION_H_

#include "protopage/model/backend.h"
#include "protopage/model/cpu/cpu_context.h"

namespace protopage {

// `bias` may be null.
void ConvolutionForward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                        const float* bias, bool relu, float* y);

// `y` is null unless the convolution has a relu; `d_x` and `d_bias` may be null.
void ConvolutionBackward(CpuContext& context, const Window2d& window, const float* x,
                         const float* w, const float* y, float* d_y, float* d_x, float* d_w,
                         float* d_bias);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_CONVOLUTION_H_
