// Vector kernels: every operation that is not a product, over one task's range, compiled once
// for each instruction set. Plain pointers and numbers only; one thread runs a call.
// Formulas and shapes are those of model/backend.h. `n` counts elements; matrices [rows, c]
// are row-major. x and y may be the same array where Backend allows it in place.
#ifndef PROTOPAGE_MODEL_CPU_VECTOR_KERNELS_H_
#define PROTOPAGE_MODEL_CPU_VECTOR_KERNELS_H_

#include <cstdint>

#include "protopage/model/margin_params.h"

namespace protopage {

struct PoolGeometry {
  int64_t in_h, in_w, c, out_h, out_w;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
};

// A parameter's range of an Adam or SGD update.
struct UpdateRange {
  float* value;
  const float* gradient;
  float* state1;
  float* state2;
  int64_t n;
};
struct AdamStep {
  float learning_rate, beta1, beta2, epsilon;
  float decay;               // 1 - learning_rate * weight_decay, or 1.
  float scale1;              // learning_rate / (1 - beta1^t)
  float inverse_sqrt_bias2;  // 1 / sqrt(1 - beta2^t)
};
struct SgdStep {
  float learning_rate, momentum, weight_decay;
  bool nesterov;
};

struct MarginStep {
  MarginParams params;
  float grad_scale;
};

struct VectorKernels {
  // --- Elementwise.
  void (*images_to_float)(const uint8_t* x, int64_t n, float scale, float shift, float* y);
  void (*fill)(float* x, int64_t n, float value);
  void (*relu_forward)(const float* x, int64_t n, float* y);
  void (*relu_backward)(const float* y, const float* d_y, int64_t n, float* d_x);
  void (*add)(const float* a, const float* b, int64_t n, float* y);
  void (*axpy)(float alpha, const float* x, int64_t n, float* y);
  void (*scale)(float alpha, int64_t n, float* x);
  // Elements [first, first + n) of the tensor, which start at x and y; `first` is a multiple of 4.
  void (*dropout)(float rate, uint64_t key, uint64_t step, int64_t first, const float* x, int64_t n,
                  float* y);

  // --- One image of a pooling.
  void (*max_pool_forward)(const PoolGeometry& geometry, const float* x, float* y, int32_t* argmax);
  void (*max_pool_backward)(const PoolGeometry& geometry, const float* d_y, const int32_t* argmax,
                            float* d_x);
  void (*average_pool_forward)(const float* x, int64_t rows, int64_t c, float* y);
  void (*average_pool_backward)(const float* d_y, int64_t rows, int64_t c, float* d_x);

  // --- Columns. Of a block of rows: the mean, and the sum of squared distances from it.
  void (*column_moments)(const float* x, int64_t rows, int64_t c, float* mean, float* m2);
  void (*column_sums)(const float* x, int64_t rows, int64_t c, float* sums);
  // y = (x - mean) scale + beta, then relu.
  void (*normalize_columns)(const float* x, int64_t rows, int64_t c, const float* mean,
                            const float* scale, const float* beta, bool relu, float* y);
  // sums[0..c) = column sums of d_y, sums[c..2c) of d_y (x - mean) inv_std; with y not null
  // d_y is first masked, in place, where y <= 0.
  void (*norm_backward_sums)(const float* x, const float* y, float* d_y, int64_t rows, int64_t c,
                             const float* mean, const float* inv_std, float* sums);
  // d_x = a (d_y - b - (x - mean) inv_std e): a = gamma inv_std, b and e the means of the sums.
  void (*norm_backward)(const float* x, const float* d_y, int64_t rows, int64_t c,
                        const float* mean, const float* inv_std, const float* a, const float* b,
                        const float* e, float* d_x);
  // y = x + bias.
  void (*add_bias)(const float* x, const float* bias, int64_t rows, int64_t c, float* y);
  // Rows of packed products: copies [rows, c] between arrays of different strides.
  void (*copy_rows)(const float* x, int64_t x_stride, int64_t rows, int64_t c, float* y,
                    int64_t y_stride);
  // y[i] = sum over b in order of x[b * stride + i].
  void (*sum_blocks)(const float* x, int64_t blocks, int64_t stride, int64_t n, float* y);

  // --- Rows.
  void (*l2_normalize_rows)(const float* x, int64_t rows, int64_t d, float* y, float* norms);
  void (*l2_normalize_rows_backward)(const float* y, const float* norms, const float* d_y,
                                     int64_t rows, int64_t d, float* d_x);
  void (*margin_softmax)(const MarginStep& step, const float* cosines, const int32_t* slots,
                         int64_t rows, int64_t k, float* losses, float* d_cosines,
                         int32_t* predicted);

  // --- Whole ranges.
  bool (*all_finite)(const float* x, int64_t n);
  double (*square_sum)(const float* x, int64_t n);

  // --- Optimizers.
  void (*adam)(const AdamStep& step, const UpdateRange& range);
  void (*sgd)(const SgdStep& step, const UpdateRange& range);
  void (*row_momentum)(float learning_rate, float momentum, int64_t rows, int64_t d, float* w,
                       float* v, const int32_t* away, float* g);
  void (*row_adagrad)(float learning_rate, float epsilon, int64_t rows, int64_t d, float* w,
                      float* accumulator, float* g);
};

namespace avx2 {
const VectorKernels& GetVectorKernels();
}  // namespace avx2
namespace avx512 {
const VectorKernels& GetVectorKernels();
}  // namespace avx512

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_VECTOR_KERNELS_H_
