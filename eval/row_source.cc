#include "protopage/eval/row_source.h"

namespace protopage {

RowSource MatrixRows(const RowMatrixXf& matrix) {
  return {.rows = matrix.rows(),
          .dim = matrix.cols(),
          .read = [&matrix](int64_t first, RowMatrixRef out) {
            out = matrix.middleRows(first, out.rows());
            return absl::OkStatus();
          }};
}

}  // namespace protopage
