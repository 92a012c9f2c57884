// ExactNeighbors: the nearest classes of some queries, found by looking at all rows once, block by
// block; what the index's recall is measured against.
//
//   ExactNeighbors exact(queries, 50, own_ids);
//   for (each block of rows) exact.Add(first, rows, &pool);
//   exact.Finish();
//   ... exact.ids()[q * 50 + j], exact.scores()[q * 50 + j] ...
//
// Scores are FixedOrderDot, ordered by (score descending, id ascending), kNoClass and -infinity
// past the last class. One product costs about 50 ns at D = 512 in one thread.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

class ExactNeighbors {
 public:
  // `queries` [n, D]; `exclude` is empty or [n]: a class that query n must not find.
  ExactNeighbors(RowMatrixXf queries, int64_t k, std::vector<ClassId> exclude);

  // Rows of the classes [first, first + rows.rows()).
  void Add(ClassId first, ConstRowMatrixRef rows, ThreadPool* pool);
  void Finish();

  int64_t num_queries() const { return queries_.rows(); }
  int64_t k() const { return k_; }
  const RowMatrixXf& queries() const { return queries_; }
  const std::vector<ClassId>& exclude() const { return exclude_; }
  // After Finish: [n, k].
  const std::vector<ClassId>& ids() const { return ids_; }
  const std::vector<float>& scores() const { return scores_; }

 private:
  struct Hit {
    float score;
    ClassId id;
  };

  const RowMatrixXf queries_;
  const int64_t k_;
  const std::vector<ClassId> exclude_;
  std::vector<std::vector<Hit>> best_;  // Heaps, the worst on top.
  std::vector<ClassId> ids_;
  std::vector<float> scores_;
};

// The share of the k nearest, k <= exact.k(), that are in `found` [n, m], for any m; 1 when there
// are none.
double RecallOf(const ExactNeighbors& exact, int64_t k, absl::Span<const ClassId> found);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_EXACT_NEIGHBORS_H_
