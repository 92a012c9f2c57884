// ScratchBuffer: device memory that grows to the largest size asked for and is then kept, so
// that a steady loop allocates nothing:
//
//   ScratchBuffer cosines;
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor c, cosines.Get(backend, DType::kFloat32, {batch, slots}));
//
// Content is unspecified; a later Get hands out the same memory again.
#ifndef PROTOPAGE_MODEL_SCRATCH_H_
#define PROTOPAGE_MODEL_SCRATCH_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

class ScratchBuffer {
 public:
  // A dtype is fixed by the first call. Errors: ResourceExhausted.
  absl::StatusOr<Tensor> Get(Backend* backend, DType dtype, const Shape& shape);
  // Of the buffer held.
  int64_t bytes() const { return buffer_ ? buffer_.bytes() : 0; }

 private:
  Tensor buffer_;  // [capacity]
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_SCRATCH_H_
