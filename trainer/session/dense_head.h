// DenseHead: the classifier of a source stage, one row for each of a few classes, trained by the
// net's own optimizer. (Many classes belong into a PrototypeStore.)
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto head, DenseHead::Create(10, 512, seed, backend));
//   loss->Compute({.features = f, .rows = head->parameter()->value, ...});
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
  // Rows are Glorot normal: N(0, 2 / (dim + num_classes)) (Glorot and Bengio, AISTATS 2010).
  // Errors: ResourceExhausted.
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
