// Tensors of floats of any dtype for tests: float32, or 16 bits, to which values are rounded to
// nearest, ties to even.
//
//   Tensor x = backend->Allocate(backend->activation_dtype(), {3}).value();
//   PROTOPAGE_ASSERT_OK(SetFloats(*backend, {0.1f, 0.2f, 0.3f}, x));
//   PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> values, GetFloats(*backend, x));
//   EXPECT_EQ(values[0], RoundedTo(x.dtype(), 0.1f));
#ifndef PROTOPAGE_MODEL_TESTING_FLOAT_DTYPE_H_
#define PROTOPAGE_MODEL_TESTING_FLOAT_DTYPE_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

float RoundedTo(DType dtype, float x);
// An upper bound of |RoundedTo(dtype, x) - x| for an x within the dtype's range; 0 for float32.
double RoundingTo(DType dtype, double x);

absl::Status SetFloats(Backend& backend, const std::vector<float>& values, const Tensor& x);
absl::StatusOr<std::vector<float>> GetFloats(Backend& backend, const Tensor& x);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_FLOAT_DTYPE_H_
