// KMeans: centroids of points, by Lloyd's algorithm as FAISS has it, in the calling thread.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const RowMatrixXf centroids, KMeans(points, 64, {.spherical = true}));
//
// The same bits for the same input, in any thread.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/base/types.h"

namespace protopage {

struct KMeansOptions {
  int iterations = 10;
  // Nearest is of the largest inner product, and centroids have norm 1; else the distance.
  bool spherical = false;
  int seed = 1;
};

// [k, D] for points [n, D], 1 <= k <= n. Errors: InvalidArgument (k), Internal (FAISS).
absl::StatusOr<RowMatrixXf> KMeans(ConstRowMatrixRef points, int64_t k,
                                   const KMeansOptions& options);

// FAISS and the BLAS below it then run in the calling thread only: our pool owns the threads. To be
// called in each thread that calls FAISS.
void UseOneThreadForFaiss();

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_KMEANS_H_
