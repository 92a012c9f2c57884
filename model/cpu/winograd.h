// Convolutions with kernels of 3 x 3 and strides of 1 by Winograd's F(2 x 2, 3 x 3): tiles of 4 x 4
// pixels and the kernel are transformed, multiplied element by element, and transformed back to 2 x
// 2 positions, which takes 4 products per position of y and pair of channels instead of 9. With
// b(x), g(w) and a(m) the transforms of model/cpu/winograd_kernels.h, and i one of the 16 elements
// of a tile:
//
//   y = a(m),  m[i] [tiles, out_c] = b(x)[i] [tiles, in_c] g(w)[i] [in_c, out_c]
//
// and backward, by their transposes, d_m = a'(d_y), d_x = b'(d_m g(w)^T), d_w = g'(b(x)^T d_m).
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016).
//
// Rounding errors of y and d_x are .6 to .8 times those of the plain sums, as sums are shorter,
// those of d_w 1.1 to 1.2 times (root mean squares, 32 to 256 channels). A window of zeros may give
// a y that is not quite 0, and a value that is not finite spreads to its whole tile.
#ifndef PROTOPAGE_MODEL_CPU_WINOGRAD_H_
#define PROTOPAGE_MODEL_CPU_WINOGRAD_H_

#include "protopage/model/backend.h"
#include "protopage/model/cpu/cpu_context.h"

namespace protopage {

// Whether a convolution is one of these and gains from it: channels are whole panels, and the part
// of the tiles outside of the image does not use up the gain.
bool WinogradTakes(const CpuContext& context, const Window2d& window);

// Like the functions of model/cpu/convolution.h, for convolutions that WinogradTakes.
void WinogradForward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                     const float* bias, bool relu, float* y);
void WinogradBackward(CpuContext& context, const Window2d& window, const float* x, const float* w,
                      const float* y, float* d_y, float* d_x, float* d_w, float* d_bias);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_WINOGRAD_H_
