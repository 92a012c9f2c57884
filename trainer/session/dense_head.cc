#include "protopage/trainer/session/dense_head.h"

#include <cmath>

#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<DenseHead>> DenseHead::Create(int64_t num_classes, int64_t dim,
                                                             uint64_t seed, Backend* backend) {
  RowMatrixXf rows(num_classes, dim);
  const float deviation =
      static_cast<float>(std::sqrt(2.0 / static_cast<double>(dim + num_classes)));
  for (int64_t c = 0; c < num_classes; ++c) {
    RandomStream random(seed, RandomPurpose::kPrototypeInit, c);
    for (int64_t d = 0; d < dim; ++d) rows(c, d) = deviation * random.Normal();
  }
  std::unique_ptr<DenseHead> head(new DenseHead);
  Parameter& parameter = head->parameter_;
  parameter.name = "head/kernel";
  PROTOPAGE_ASSIGN_OR_RETURN(parameter.value,
                             backend->Allocate(DType::kFloat32, {num_classes, dim}));
  PROTOPAGE_ASSIGN_OR_RETURN(parameter.gradient,
                             backend->Allocate(DType::kFloat32, {num_classes, dim}));
  // The loss depends only on the rows' directions, so decay would only change the step size.
  parameter.decay = false;
  PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(rows.data(), parameter.value));
  return head;
}

absl::StatusOr<RowMatrixXf> DenseHead::Rows(Backend* backend) const {
  const Shape& shape = parameter_.value.shape();
  RowMatrixXf rows(shape[0], shape[1]);
  PROTOPAGE_RETURN_IF_ERROR(backend->CopyToHost(parameter_.value, rows.data()));
  return rows;
}

}  // namespace protopage
