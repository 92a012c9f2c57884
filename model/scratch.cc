#include "protopage/model/scratch.h"

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<Tensor> ScratchBuffer::Get(Backend* backend, DType dtype, const Shape& shape) {
  PROTOPAGE_CHECK(!buffer_ || buffer_.dtype() == dtype);
  const int64_t count = shape.num_elements();
  if (!buffer_ || buffer_.num_elements() < count) {
    buffer_ = Tensor();  // Release the old memory before allocating the new.
    PROTOPAGE_ASSIGN_OR_RETURN(buffer_, backend->Allocate(dtype, {count}));
  }
  return buffer_.Slice(0, count).Reshaped(shape);
}

}  // namespace protopage
