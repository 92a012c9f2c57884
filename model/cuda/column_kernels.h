// Kernels over the columns of a row-major matrix [rows, cols]: biases and batch norm. The formulas
// are those of model/backend.h; pointers are to device memory. void* arrays are feature maps in
// `format`.
//
//   float* partials = ...;  // ColumnPartials(rows, cols, /*sums=*/1) floats of scratch.
//   const cudaError_t error = LaunchColumnSums(stream, d_y, rows, cols, partials, d_bias);
//
// Sums over rows are computed in float within blocks of kColumnBlockRows rows, and in double over
// the blocks, each in a fixed order.
#ifndef PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_

#include <cstdint>

#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

constexpr int64_t kColumnBlockRows = 128;
// The number of floats of partial sums, with `sums` for each column of each block of rows.
inline int64_t ColumnPartials(int64_t rows, int64_t cols, int sums) {
  return (rows + kColumnBlockRows - 1) / kColumnBlockRows * cols * sums;
}

// y = x + bias, or max(0, x + bias) with `relu`; `bias` may be null. y may be x if it is float32.
cudaError_t LaunchBiasRelu(cudaStream_t stream, const float* x, const float* bias, bool relu,
                           int64_t rows, int64_t cols, NumberFormat format, void* y);
// d_bias [cols] = column sums of d_y. `partials` is scratch for one sum per column.
cudaError_t LaunchColumnSums(cudaStream_t stream, const float* d_y, int64_t rows, int64_t cols,
                             float* partials, float* d_bias);
// y [n] = column sums of parts [num_parts, n], in double.
cudaError_t LaunchSumParts(cudaStream_t stream, const float* parts, int64_t num_parts, int64_t n,
                           float* y);
// In one pass over the gradient of a convolution: sets d_y to 0 where y <= 0 (y is null without
// relu), and computes d_bias as above (unless it is null).
cudaError_t LaunchOutputGradient(cudaStream_t stream, NumberFormat format, const void* y,
                                 int64_t rows, int64_t cols, void* d_y, float* partials,
                                 float* d_bias);

struct BatchNormMoments {
  const float* gamma;  // [cols], like all arrays here.
  float epsilon, momentum;
  float* running_mean;
  float* running_var;
  float* saved_mean;
  float* saved_inv_std;
  float* scale;  // gamma * saved_inv_std, for LaunchNormalize.
};
// `partials` is scratch for 2 sums per column; rows > 0.
cudaError_t LaunchMoments(cudaStream_t stream, NumberFormat format, const void* x, int64_t rows,
                          int64_t cols, float* partials, const BatchNormMoments& moments);
// scale = gamma / sqrt(var + epsilon)
cudaError_t LaunchInferenceScale(cudaStream_t stream, const float* gamma, const float* var,
                                 float epsilon, int64_t cols, float* scale);
// y = (x - mean) * scale + beta, or the maximum of that and 0 with `relu`.
cudaError_t LaunchNormalize(cudaStream_t stream, NumberFormat format, const void* x,
                            const float* mean, const float* scale, const float* beta, bool relu,
                            int64_t rows, int64_t cols, void* y);

struct BatchNormGradient {
  NumberFormat format;
  const void* x;
  const float* gamma;
  const float* mean;
  const float* inv_std;
  const void* y;  // Null without relu. With relu, d_y is masked in place.
  void* d_y;
  void* d_x;
  float* d_gamma;
  float* d_beta;
};
// `partials` is scratch for 2 sums per column, `factors` for 3 floats per column.
cudaError_t LaunchBatchNormBackward(cudaStream_t stream, const BatchNormGradient& gradient,
                                    int64_t rows, int64_t cols, float* partials, float* factors);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_
