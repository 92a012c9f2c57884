// KMeans: centroids of points, by FAISS's implementation of Lloyd's algorithm, in the calling
// thread.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const RowMatrixXf centroids,
//                              KMeans(points, /*k=*/64, {.spherical = true}));
//
// The same input gives the same bits in any thread.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/base/types.h"

namespace protopage {

struct KMeansOptions {
  int iterations = 10;
  // The nearest centroid is the one of the largest inner product, and centroids have norm 1.
  // Otherwise it is the one of the smallest distance.
  bool spherical = false;
  int seed = 1;
};

// [k, D] for points [n, D], 1 <= k <= n. Errors: InvalidArgument (k), ResourceExhausted (memory),
// Internal (FAISS).
absl::StatusOr<RowMatrixXf> KMeans(ConstRowMatrixRef points, int64_t k,
                                   const KMeansOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_
