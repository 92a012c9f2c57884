// A header at the same path as one of protopage.

#ifndef REUSE_MODEL_TENSOR_H_
#define REUSE_MODEL_TENSOR_H_

namespace reuse {

struct Tensor {
  int rank = 0;
};

}  // namespace reuse

#endif  // REUSE_MODEL_TENSOR_H_
