#include "protopage/eval/top_k.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/best_scores.h"
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

  std::vector<BestScores<int64_t>> best(queries.rows(), BestScores<int64_t>(options.k));
  RowMatrixXf block;
  for (int64_t first = 0; first < rows.rows; first += kTopKBlockRows) {
    block.resize(std::min(kTopKBlockRows, rows.rows - first), rows.dim);
    PROTOPAGE_RETURN_IF_ERROR(rows.read(first, block));
    PROTOPAGE_RETURN_IF_ERROR(CheckFinite("row", block, first));
    NormalizeRows(block);
    ForEachCosineTile(queries, block, pool, [&](const CosineTile& tile) {
      for (int64_t i = 0; i < tile.cosines.rows(); ++i) {
        best[tile.first_a + i].AddRange(
            tile.cosines.row(i).data(), tile.cosines.cols(), first + tile.first_b,
            [&](int64_t row) { return options.excluded == nullptr || !options.excluded(row); });
      }
    });
  }

  TopK top;
  top.rows.setConstant(queries.rows(), options.k, -1);
  top.cosines.setConstant(queries.rows(), options.k, -std::numeric_limits<float>::infinity());
  for (int64_t query = 0; query < queries.rows(); ++query) {
    const std::vector<Scored<int64_t>> sorted = best[query].TakeSorted();
    for (size_t place = 0; place < sorted.size(); ++place) {
      top.rows(query, place) = sorted[place].id;
      top.cosines(query, place) = sorted[place].score;
    }
  }
  return top;
}

}  // namespace protopage
