// The transforms of Winograd's convolution F(2 x 2, 3 x 3), compiled once for each instruction set:
// plain pointers and numbers only; one thread runs a call. model/cpu/winograd.h uses them.
//
// A tile is 4 x 4 pixels of x and 2 x 2 positions of y. Its transform is 16 rows of channels, one
// for each element of the 4 x 4 matrix below, row by row, so many floats apart. Formulas: Lavin and
// Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4.1, and their
// transposes. Numbers of channels and of other floats are multiples of a panel's columns
// (model/cpu/matrix_kernels.h).
#ifndef PROTOPAGE_MODEL_CPU_WINOGRAD_KERNELS_H_
#define PROTOPAGE_MODEL_CPU_WINOGRAD_KERNELS_H_

#include <cstdint>

namespace protopage {

struct WinogradKernels {
  // v[i] = (B^T d B)[i], of the pixels d [16], each `channels` floats.
  void (*transform_input)(const float* const* pixels, int64_t channels, float* v, int64_t v_stride);
  // pixels[i] += (B d_v B^T)[i]: its transpose.
  void (*add_input_gradient)(const float* d_v, int64_t d_v_stride, int64_t channels,
                             float* const* pixels);
  // y [4] = A^T m A + bias, and max(0, that) with `relu`; bias may be null, and so may a position
  // of y, which is left out.
  void (*transform_output)(const float* m, int64_t m_stride, int64_t channels, const float* bias,
                           bool relu, float* const* y);
  // d_m [16] = A d_y A^T, of the positions d_y [4].
  void (*transform_output_gradient)(const float* const* d_y, int64_t channels, float* d_m,
                                    int64_t d_m_stride);
  // u [16] = G w G^T, of the taps w [9], `n` floats each.
  void (*transform_kernel)(const float* w, int64_t w_stride, int64_t n, float* u, int64_t u_stride);
  // d_w [9] = G^T d_u G
  void (*transform_kernel_gradient)(const float* d_u, int64_t d_u_stride, int64_t n, float* d_w,
                                    int64_t d_w_stride);
};

namespace avx2 {
const WinogradKernels& GetWinogradKernels();
}  // namespace avx2
namespace avx512 {
const WinogradKernels& GetWinogradKernels();
}  // namespace avx512

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_WINOGRAD_KERNELS_H_
