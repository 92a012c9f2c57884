// DenseHead: the classifier of a source stage, one row per class, trained by the net's own
// optimizer. All rows are on the device; a PrototypeStore is for more classes than fit there.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto head, DenseHead::Create(/*num_classes=*/10, dim, seed, backend));
//   const Tensor rows = head->parameter()->value;  // [10, dim], for a MarginLoss.
#ifndef PROTOPAGE_TRAINER_SESSION_DENSE_HEAD_H_
#define PROTOPAGE_TRAINER_SESSION_DENSE_HEAD_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "protopage/base/types.h"
#include "protopage/model/backend.h"
#include "protopage/model/op.h"
#include "protopage/model/state.h"

namespace protopage {

class DenseHead {
 public:
  // Initial rows are Glorot normal, N(0, 2 / (dim + num_classes)) (Glorot and Bengio, AISTATS
  // 2010). Errors: ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<DenseHead>> Create(int64_t num_classes, int64_t dim,
                                                           uint64_t seed, Backend* backend);

  int64_t num_classes() const { return parameter_.value.shape()[0]; }
  // "head/kernel": value and gradient [num_classes, dim].
  Parameter* parameter() { return &parameter_; }
  void State(StateVisitor& v) { v.Array(parameter_.name, parameter_.value); }
  // Copies the rows to the host.
  absl::StatusOr<RowMatrixXf> Rows(Backend* backend) const;

 private:
  DenseHead() = default;
  Parameter parameter_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_SESSION_DENSE_HEAD_H_
