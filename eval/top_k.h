// FindTopK: for every query the k rows with the largest cosine, exactly, over
// rows that are read once, in blocks.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(TopK top, FindTopK(features, prototypes, {.k = 5}, pool));
//   top.rows(3, 0);  // the row nearest to query 3
//
// The work is a blocked matrix product on all threads of the pool; the bits do not depend on
// their number. Memory: kTopKBlockRows rows, and a tile of cosines for each thread.
#ifndef PROTOPAGE_EVAL_TOP_K_H_
#define PROTOPAGE_EVAL_TOP_K_H_

#include <Eigen/Core>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/eval/row_source.h"

namespace protopage {

// What `read` is asked for at a time; the last block may be smaller.
inline constexpr int64_t kTopKBlockRows = 4096;

struct TopKOptions {
  int64_t k = 5;
  // Rows that are never answers (dropped classes). Empty: none. Called from several threads.
  std::function<bool(int64_t row)> excluded = {};
};

struct TopK {
  // [M, k], best first; the lower row first on ties. -1 and -infinity when there are fewer
  // than k.
  Eigen::Matrix<int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows;
  RowMatrixXf cosines;
};

// `queries` [M, D]. Neither side needs to be normalised.
// Errors: InvalidArgument (shapes, a query or row that is not finite), those of `rows.read`.
absl::StatusOr<TopK> FindTopK(ConstRowMatrixRef queries, const RowSource& rows,
                              const TopKOptions& options, ThreadPool& pool);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_TOP_K_H_
