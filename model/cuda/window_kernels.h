// Kernels over the windows of images [B, H, W, C]: the matrix of the windows of a convolution and
// its gradient, and pooling. Formulas and shapes are those of model/backend.h; pointers are to
// device memory. void* arrays are in `format`.
//
// A convolution is the product of the matrix of its windows, with a row [kernel_h, kernel_w, in_c]
// for each position [B, out_h, out_w], and its kernel. The matrix is computed in tiles of positions
// that fit into a workspace:
//
//   for (int64_t first = 0; first < positions; first += tile) {
//     const int64_t rows = std::min(tile, positions - first);
//     LaunchIm2Col(stream, window, NumberFormat::kBf16, x, first, rows, columns);
//     ... y[first : first + rows] = columns * w ...
//   }
//
// The positions of one image, its elements, and the elements of a tile must be fewer than 2^31.
#ifndef PROTOPAGE_MODEL_CUDA_WINDOW_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_WINDOW_KERNELS_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

// columns [rows, kernel_h * kernel_w * in_c] = the windows at positions [first, first + rows), with
// 0 outside of the image.
cudaError_t LaunchIm2Col(cudaStream_t stream, const Window2d& window, NumberFormat format,
                         const void* x, int64_t first, int64_t rows, void* columns);
// d_x from the gradient of columns [first, first + rows): the sum over the windows that read a
// pixel, in the order of (kh, kw). Writes the images that these positions lie in: overwrites them
// or, with `accumulate`, for positions that are not all those of an image, adds to them.
cudaError_t LaunchCol2Im(cudaStream_t stream, const Window2d& window, const float* d_columns,
                         int64_t first, int64_t rows, bool accumulate, NumberFormat format,
                         void* d_x);

cudaError_t LaunchMaxPoolForward(cudaStream_t stream, const Window2d& window, NumberFormat format,
                                 const void* x, void* y, int32_t* argmax);
cudaError_t LaunchMaxPoolBackward(cudaStream_t stream, const Window2d& window, NumberFormat format,
                                  const void* d_y, const int32_t* argmax, void* d_x);
// x [batch, pixels, c], y [batch, c]
cudaError_t LaunchAveragePoolForward(cudaStream_t stream, NumberFormat format, const void* x,
                                     int64_t batch, int64_t pixels, int64_t c, float* y);
cudaError_t LaunchAveragePoolBackward(cudaStream_t stream, const float* d_y, int64_t batch,
                                      int64_t pixels, int64_t c, NumberFormat format, void* d_x);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_WINDOW_KERNELS_H_
