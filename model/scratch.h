// ScratchBuffer: device memory that grows to the largest size requested and is then kept, so that a
// loop in its steady state allocates nothing:
//
//   ScratchBuffer cosines;
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor c, cosines.Get(backend, DType::kFloat32, {batch, slots}));
//
// The content is unspecified; a later Get returns the same memory.
#ifndef PROTOPAGE_MODEL_SCRATCH_H_
#define PROTOPAGE_MODEL_SCRATCH_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

class ScratchBuffer {
 public:
  // The first call fixes the dtype. Errors: ResourceExhausted.
  absl::StatusOr<Tensor> Get(Backend* backend, DType dtype, const Shape& shape);
  // The size of the buffer.
  int64_t bytes() const { return buffer_ ? buffer_.bytes() : 0; }

 private:
  Tensor buffer_;  // [capacity]
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_SCRATCH_H_
