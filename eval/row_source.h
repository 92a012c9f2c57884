// RowSource: a matrix that is read in blocks of rows, because it may be larger
// than memory.
//
//   RowSource prototypes = {.rows = store->num_classes(), .dim = store->dim(),
//                           .read = [&](int64_t first, RowMatrixRef out) {
//                             return store->ReadRows(first, out);  //
//                             out.rows() rows
//                           }};
//   RowSource gallery = MatrixRows(features);  // borrows the matrix
#ifndef PROTOPAGE_EVAL_ROW_SOURCE_H_
#define PROTOPAGE_EVAL_ROW_SOURCE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/types.h"

namespace protopage {

struct RowSource {
  int64_t rows = 0;
  int64_t dim = 0;
  // Fills `out` [n, dim] with the rows first .. first + n - 1. Called by one
  // thread at a time, in ascending order, each row once.
  std::function<absl::Status(int64_t first, RowMatrixRef out)> read;
};

// The rows of a matrix that lives longer than the source.
RowSource MatrixRows(const RowMatrixXf& matrix);

// Divides every row by max(norm, 1e-5), as the network's own normalisation
// does: a zero row stays zero and has cosine 0 with everything. Errors:
// InvalidArgument for a row that is not finite, as "<what> row 17 is not
// finite".
absl::Status NormalizeRows(absl::string_view what, int64_t first_row,
                           RowMatrixRef rows);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_ROW_SOURCE_H_
