// ExactNeighbors: the nearest classes of some queries, found by a scan of all rows, block by block.
// The recall of an index is measured against it.
//
//   ExactNeighbors exact(queries, 50, own_ids);
//   for (ClassId first = 0; first < num_classes; first += rows.rows()) {
//     PROTOPAGE_RETURN_IF_ERROR(reader(first, rows));
//     exact.Add(first, rows, &pool);
//   }
//   exact.Finish();
//   const ClassId third = exact.ids()[q * 50 + 2];  // Of query q; likewise exact.scores().
//
// Scores are FixedOrderDot, in the order (score descending, id ascending); kNoClass and -infinity
// follow where there are fewer classes. One product takes about 50 ns in one thread at D = 512.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "protopage/base/best_scores.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

class ExactNeighbors {
 public:
  // `queries` [n, D], k >= 1; `exclude` is empty or [n]: a class that query n must not find.
  ExactNeighbors(RowMatrixXf queries, int64_t k, std::vector<ClassId> exclude);

  // Adds the rows of the classes [first, first + rows.rows()), each class once.
  void Add(ClassId first, ConstRowMatrixRef rows, ThreadPool* pool);
  // Ends the scan.
  void Finish();

  int64_t num_queries() const { return queries_.rows(); }
  int64_t k() const { return k_; }
  const RowMatrixXf& queries() const { return queries_; }
  const std::vector<ClassId>& exclude() const { return exclude_; }
  // [n, k], after Finish.
  const std::vector<ClassId>& ids() const { return ids_; }
  const std::vector<float>& scores() const { return scores_; }

 private:
  const RowMatrixXf queries_;
  const int64_t k_;
  const std::vector<ClassId> exclude_;
  std::vector<BestScores<ClassId>> best_;  // [n]
  std::vector<ClassId> ids_;
  std::vector<float> scores_;
};

// The share of the k nearest classes, k <= exact.k(), that are in `found` [n, m], for any m. 1
// where there are no classes to find.
double RecallOf(const ExactNeighbors& exact, int64_t k, absl::Span<const ClassId> found);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_
