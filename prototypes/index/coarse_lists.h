// CoarseLists: divides the space of rows into lists, and finds the lists nearest to a vector.
//
// A list has a centroid of norm 1, and holds the rows whose inner product with it is the largest.
// The lists are in about sqrt(lists) groups, made by k-means on two levels. A search scores the
// groups, and then only the lists of the nearest groups: it takes O(sqrt(lists)) products, and may
// miss a list whose group is farther away.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const CoarseLists lists,
//                              CoarseLists::Train(sample, /*num_lists=*/100, seed, &pool));
//   std::vector<CoarseLists::Hit> hits(rows.size() * 8);
//   lists.Nearest(rows.data(), rows.size(), 8, hits.data());  // hits[i * 8]: nearest to rows[i].
//
// The bits do not depend on the number of rows in a call.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_COARSE_LISTS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_COARSE_LISTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"

namespace protopage {

class CoarseLists {
 public:
  struct Hit {
    float score;   // The inner product with the centroid.
    int32_t list;  // -1 where there are no more lists.
  };

  CoarseLists() = default;

  // `sample` [n, D], 1 <= num_lists <= n. Errors: InvalidArgument, Internal.
  static absl::StatusOr<CoarseLists> Train(const RowMatrixXf& sample, int64_t num_lists,
                                           uint64_t seed, ThreadPool* pool);
  // Puts lists together from the parts that a file holds; group g has the lists
  // [group_begin[g], group_begin[g + 1]). Errors: DataLoss when the parts do not fit together.
  static absl::StatusOr<CoarseLists> FromParts(RowMatrixXf groups, std::vector<int64_t> group_begin,
                                               RowMatrixXf centroids);

  // hits [n, probes]: the nearest of the lists that were scored, in the order (score descending,
  // list ascending). Runs in the calling thread.
  void Nearest(const float* const* rows, int64_t n, int64_t probes, Hit* hits) const;

  int64_t num_lists() const { return centroids_.rows(); }
  int64_t num_groups() const { return groups_.rows(); }
  int64_t dim() const { return centroids_.cols(); }
  const RowMatrixXf& groups() const { return groups_; }
  const std::vector<int64_t>& group_begin() const { return group_begin_; }
  const RowMatrixXf& centroids() const { return centroids_; }
  const float* centroid(int64_t list) const { return centroids_.data() + list * dim(); }
  int64_t bytes() const { return Bytes(num_lists(), dim()); }
  // The memory of `num_lists` lists, in bytes.
  static int64_t Bytes(int64_t num_lists, int64_t dim);

 private:
  RowMatrixXf groups_;                // [G, D]
  std::vector<int64_t> group_begin_;  // [G + 1]
  RowMatrixXf centroids_;             // [lists, D]
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_COARSE_LISTS_H_
