// RowSource: a matrix that is read in blocks of rows, because it may be larger than memory.
//
//   const RowSource gallery = MatrixRows(features);
//   const RowSource prototypes = {.rows = store->num_classes(),
//                                 .dim = store->dim(),
//                                 .read = [&](int64_t first, RowMatrixRef out) {
//                                   return store->ReadRange(first, out);
//                                 }};
#ifndef PROTOPAGE_EVAL_ROW_SOURCE_H_
#define PROTOPAGE_EVAL_ROW_SOURCE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "protopage/base/types.h"

namespace protopage {

struct RowSource {
  int64_t rows = 0;
  int64_t dim = 0;
  // Fills `out` [n, dim] with the rows [first, first + n). Called by one thread at a time, in
  // ascending order, each row once.
  std::function<absl::Status(int64_t first, RowMatrixRef out)> read = {};
};

// The rows of `matrix`, which is not copied and must outlive the source.
RowSource MatrixRows(const RowMatrixXf& matrix);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_ROW_SOURCE_H_
