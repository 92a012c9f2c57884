// FindTopK: for every query exactly the k rows with the largest cosine, among rows that are read
// once, in blocks.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const TopK top, FindTopK(features, prototypes, {.k = 5}, pool));
//   const int64_t nearest = top.rows(3, 0);  // The row nearest to query 3.
//
// The work is a blocked matrix product on all threads of the pool; the bits do not depend on their
// number. Memory: kTopKBlockRows rows, a tile of cosines for each thread, and 2 k results for each
// query.
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

// The number of rows that each call of `read` is for; the last block may be smaller.
inline constexpr int64_t kTopKBlockRows = 4096;

struct TopKOptions {
  int64_t k = 5;
  // True for rows that are never results (dropped classes). Empty: there are none. Called from
  // several threads.
  std::function<bool(int64_t row)> excluded = {};
};

struct TopK {
  // [M, k], best first, on ties the lower row first. -1 and -infinity where there are fewer than k
  // rows.
  Eigen::Matrix<int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows;
  RowMatrixXf cosines;
};

// `queries` [M, D]. Neither queries nor rows need to be normalised.
// Errors: InvalidArgument (shapes, a query or row that is not finite), those of `rows.read`.
absl::StatusOr<TopK> FindTopK(ConstRowMatrixRef queries, const RowSource& rows,
                              const TopKOptions& options, ThreadPool& pool);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_TOP_K_H_
