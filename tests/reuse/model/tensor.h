// The host's tensors: matrices of doubles. protopage has a header of the same name.

#ifndef REUSE_MODEL_TENSOR_H_
#define REUSE_MODEL_TENSOR_H_

#include <cstdint>
#include <vector>

namespace reuse {

struct Tensor {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> values;  // [rows, columns]

  std::vector<float> ToFloats() const { return {values.begin(), values.end()}; }
};

}  // namespace reuse

#endif  // REUSE_MODEL_TENSOR_H_
