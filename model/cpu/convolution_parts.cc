#include "protopage/model/cpu/convolution_parts.h"

namespace protopage {

void PrepareOutputGradient(const VectorKernels& vector, const float* y, int64_t rows, int64_t out_c,
                           bool bias, float* d_y, float* sums, float* bias_sums) {
  if (y != nullptr) vector.relu_backward(y, d_y, rows * out_c, d_y);
  if (bias) {
    vector.column_sums(d_y, rows, out_c, sums);
    vector.add(bias_sums, sums, out_c, bias_sums);
  }
}

}  // namespace protopage
