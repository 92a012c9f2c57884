// The operations of model/backend.h as plain loops in double, one line of arithmetic for each
// formula. Backends are tested against them, and they against finite differences.
// Arrays are flat, in the layouts of model/backend.h; gradients are returned, not added.
#ifndef PROTOPAGE_MODEL_TESTING_REFERENCE_OPS_H_
#define PROTOPAGE_MODEL_TESTING_REFERENCE_OPS_H_

#include <cstdint>
#include <vector>

#include "protopage/model/backend.h"

namespace protopage {
namespace reference {

using Array = std::vector<double>;

// `bias` may be empty.
Array Conv2dForward(const Window2d& window, const Array& x, const Array& w, const Array& bias);
struct Conv2dGradients {
  Array d_x, d_w, d_bias;
};
Conv2dGradients Conv2dBackward(const Window2d& window, const Array& x, const Array& w,
                               const Array& d_y);

struct MaxPooled {
  Array y;
  std::vector<int32_t> argmax;
};
MaxPooled MaxPool2dForward(const Window2d& window, const Array& x);
Array MaxPool2dBackward(const Window2d& window, const Array& d_y,
                        const std::vector<int32_t>& argmax);

// x [batch, pixels, c].
Array GlobalAveragePoolForward(const Array& x, int64_t batch, int64_t pixels, int64_t c);
Array GlobalAveragePoolBackward(const Array& d_y, int64_t batch, int64_t pixels, int64_t c);

// x [rows, c]; the statistics of the batch.
struct BatchNormed {
  Array y, mean, variance, inv_std;
};
BatchNormed BatchNormTrain(const Array& x, int64_t rows, int64_t c, const Array& gamma,
                           const Array& beta, double epsilon);
struct BatchNormGradients {
  Array d_x, d_gamma, d_beta;
};
BatchNormGradients BatchNormBackward(const Array& x, int64_t rows, int64_t c, const Array& gamma,
                                     const Array& mean, const Array& inv_std, const Array& d_y);

struct Normalized {
  Array y, norms;
};
Normalized L2NormalizeRows(const Array& x, int64_t rows, int64_t d);
Array L2NormalizeRowsBackward(const Array& y, const Array& norms, const Array& d_y, int64_t rows,
                              int64_t d);

// c [rows, cols] = op(a) op(b) with op(a) [rows, depth].
Array MatMul(const Array& a, bool transpose_a, const Array& b, bool transpose_b, int64_t rows,
             int64_t cols, int64_t depth);

// `d_cosines` is of the sum of the losses.
struct MarginSoftmaxed {
  Array losses, d_cosines;
  std::vector<int32_t> predicted;
};
MarginSoftmaxed MarginSoftmax(const MarginParams& params, const Array& cosines,
                              const std::vector<int32_t>& slots, int64_t rows, int64_t k);

// One row of Backend::RowMomentumUpdate and RowAdagradUpdate, changed in place.
void RowMomentumUpdate(const RowMomentumParams& params, int32_t away, Array& w, Array& v, Array g);
void RowAdagradUpdate(const RowAdagradParams& params, Array& w, double& accumulator, Array g);

}  // namespace reference
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_REFERENCE_OPS_H_
