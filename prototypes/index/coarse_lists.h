// CoarseLists: cuts the space of rows into lists, and finds the lists nearest to a vector.
//
// A list has a centroid of norm 1 and holds the rows whose inner product with it is the largest.
// Lists lie in about sqrt(lists) groups, by k-means of two levels; a search scores the groups, and
// then the lists of the nearest groups only. So it takes O(sqrt(lists)) products, and may miss a
// list whose group lies farther away.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const CoarseLists lists, CoarseLists::Train(sample, 4000, seed, &pool));
//   std::vector<CoarseLists::Hit> hits(rows.size() * 8);
//   lists.Nearest(rows.data(), rows.size(), 8, hits.data());
//
// The same bits whatever the number of rows in a call.
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
    int32_t list;  // -1 past the last.
  };

  CoarseLists() = default;

  // `sample` [n, D], 1 <= num_lists <= n. Errors: InvalidArgument, Internal.
  static absl::StatusOr<CoarseLists> Train(const RowMatrixXf& sample, int64_t num_lists,
                                           uint64_t seed, ThreadPool* pool);
  // Of the parts that a file holds; group g has the lists [group_begin[g], group_begin[g + 1]).
  // Errors: DataLoss when they do not fit together.
  static absl::StatusOr<CoarseLists> FromParts(RowMatrixXf groups, std::vector<int64_t> group_begin,
                                               RowMatrixXf centroids);

  // hits [n, probes]: the nearest lists, by (score descending, list ascending), of those looked
  // at. In the calling thread.
  void Nearest(const float* const* rows, int64_t n, int64_t probes, Hit* hits) const;

  int64_t num_lists() const { return centroids_.rows(); }
  int64_t num_groups() const { return groups_.rows(); }
  int64_t dim() const { return centroids_.cols(); }
  const RowMatrixXf& groups() const { return groups_; }
  const std::vector<int64_t>& group_begin() const { return group_begin_; }
  const RowMatrixXf& centroids() const { return centroids_; }
  const float* centroid(int64_t list) const { return centroids_.data() + list * dim(); }
  int64_t bytes() const { return Bytes(num_lists(), dim()); }
  // Memory of that many lists, in bytes.
  static int64_t Bytes(int64_t num_lists, int64_t dim);

 private:
  RowMatrixXf groups_;                // [G, D]
  std::vector<int64_t> group_begin_;  // [G + 1]
  RowMatrixXf centroids_;             // [lists, D]
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_COARSE_LISTS_H_
