// Kernels over the columns of a matrix [rows, cols], row-major: biases and batch norm. Formulas are
// those of model/backend.h; pointers are the device's. Arrays of a call that are void* are feature
// maps in `format`.
//
//   float* partials = ...;  // Of ColumnPartials(rows, cols, 1) floats.
//   LaunchColumnSums(stream, d_y, rows, cols, partials, d_bias);
//
// Sums over rows: blocks of kColumnBlockRows rows are summed in float, and the blocks' sums in
// double, each in a fixed order.
#ifndef PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_

#include <cstdint>

#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

constexpr int64_t kColumnBlockRows = 128;
// The floats that partial sums take, when each block of rows has `sums` a column.
inline int64_t ColumnPartials(int64_t rows, int64_t cols, int sums) {
  return (rows + kColumnBlockRows - 1) / kColumnBlockRows * cols * sums;
}

// y = x + bias, and max(0, that) with `relu`; `bias` may be null. y may be x if it is float32.
cudaError_t LaunchBiasRelu(cudaStream_t stream, const float* x, const float* bias, bool relu,
                           int64_t rows, int64_t cols, NumberFormat format, void* y);
// d_bias [cols] = column sums of d_y. `partials` is scratch of one sum a column.
cudaError_t LaunchColumnSums(cudaStream_t stream, const float* d_y, int64_t rows, int64_t cols,
                             float* partials, float* d_bias);
// y [n] = column sums of parts [num_parts, n], in double.
cudaError_t LaunchSumParts(cudaStream_t stream, const float* parts, int64_t num_parts, int64_t n,
                           float* y);
// One pass over the gradient of a convolution: d_y is 0 where y <= 0 (y: null without relu), d_bias
// as above (null when not wanted).
cudaError_t LaunchOutputGradient(cudaStream_t stream, NumberFormat format, const void* y,
                                 int64_t rows, int64_t cols, void* d_y, float* partials,
                                 float* d_bias);

struct BatchNormMoments {
  const float* gamma;  // [cols], as all of them.
  float epsilon, momentum;
  float* running_mean;
  float* running_var;
  float* saved_mean;
  float* saved_inv_std;
  float* scale;  // gamma * saved_inv_std, for LaunchNormalize.
};
// `partials` of 2 sums a column; rows > 0.
cudaError_t LaunchMoments(cudaStream_t stream, NumberFormat format, const void* x, int64_t rows,
                          int64_t cols, float* partials, const BatchNormMoments& moments);
// scale = gamma / sqrt(var + epsilon)
cudaError_t LaunchInferenceScale(cudaStream_t stream, const float* gamma, const float* var,
                                 float epsilon, int64_t cols, float* scale);
// y = (x - mean) * scale + beta, and max(0, that) with `relu`.
cudaError_t LaunchNormalize(cudaStream_t stream, NumberFormat format, const void* x,
                            const float* mean, const float* scale, const float* beta, bool relu,
                            int64_t rows, int64_t cols, void* y);

struct BatchNormGradient {
  NumberFormat format;
  const void* x;
  const float* gamma;
  const float* mean;
  const float* inv_std;
  const void* y;  // Null without relu; with it, d_y is masked in place.
  void* d_y;
  void* d_x;
  float* d_gamma;
  float* d_beta;
};
// `partials` of 2 sums a column, `factors` of 3 floats a column.
cudaError_t LaunchBatchNormBackward(cudaStream_t stream, const BatchNormGradient& gradient,
                                    int64_t rows, int64_t cols, float* partials, float* factors);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_COLUMN_KERNELS_H_
