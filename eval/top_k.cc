#include "protopage/eval/top_k.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/cosine_tiles.h"

namespace protopage {

absl::StatusOr<TopK> FindTopK(ConstRowMatrixRef queries, const RowSource& rows,
                              const TopKOptions& options, ThreadPool& pool) {
  if (options.k < 1) {
    return absl::InvalidArgumentError(absl::StrCat("k is ", options.k, "; it must be at least 1"));
  }
  if (queries.cols() != rows.dim) {
    return absl::InvalidArgumentError(
        absl::StrCat("queries have ", queries.cols(), " columns, but rows have ", rows.dim));
  }
  PROTOPAGE_RETURN_IF_ERROR(CheckFinite("query", queries));

  const int64_t k = options.k;
  TopK top;
  top.rows.setConstant(queries.rows(), k, -1);
  top.cosines.setConstant(queries.rows(), k, -std::numeric_limits<float>::infinity());
  RowMatrixXf block;
  for (int64_t first = 0; first < rows.rows; first += kTopKBlockRows) {
    block.resize(std::min(kTopKBlockRows, rows.rows - first), rows.dim);
    PROTOPAGE_RETURN_IF_ERROR(rows.read(first, block));
    PROTOPAGE_RETURN_IF_ERROR(CheckFinite("row", block, first));
    NormalizeRows(block);
    ForEachCosineTile(queries, block, pool, [&](const CosineTile& tile) {
      for (int64_t i = 0; i < tile.cosines.rows(); ++i) {
        const int64_t query = tile.first_a + i;
        float* const best = &top.cosines(query, 0);
        int64_t* const best_rows = &top.rows(query, 0);
        for (int64_t j = 0; j < tile.cosines.cols(); ++j) {
          const float cosine = tile.cosines(i, j);
          if (cosine <= best[k - 1]) continue;  // Rows come in order: the lower one wins a tie.
          const int64_t row = first + tile.first_b + j;
          if (options.excluded != nullptr && options.excluded(row)) continue;
          int64_t at = k - 1;
          for (; at > 0 && best[at - 1] < cosine; --at) {
            best[at] = best[at - 1];
            best_rows[at] = best_rows[at - 1];
          }
          best[at] = cosine;
          best_rows[at] = row;
        }
      }
    });
  }
  return top;
}

}  // namespace protopage
