#include "protopage/prototypes/index/kmeans.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>

#include <algorithm>
#include <exception>
#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/faiss_call.h"

namespace protopage {

absl::StatusOr<RowMatrixXf> KMeans(ConstRowMatrixRef points, int64_t k,
                                   const KMeansOptions& options) {
  const int64_t n = points.rows(), dim = points.cols();
  if (k < 1 || k > n) {
    return absl::InvalidArgumentError(absl::StrCat(k, " centroids of ", n, " points"));
  }
  if (points.outerStride() != dim) return KMeans(RowMatrixXf(points), k, options);
  const FaissCall call;
  PROTOPAGE_RETURN_IF_ERROR(call.status());
  try {
    faiss::ClusteringParameters parameters;
    parameters.niter = options.iterations;
    parameters.spherical = options.spherical;
    parameters.seed = options.seed;
    parameters.min_points_per_centroid = 1;  // Fewer than 39 is no reason for a line on stderr.
    parameters.max_points_per_centroid = static_cast<int>(std::min<int64_t>(n, 1 << 30));
    faiss::Clustering clustering(static_cast<int>(dim), static_cast<int>(k), parameters);
    faiss::IndexFlat assigner(dim,
                              options.spherical ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2);
    clustering.train(n, points.data(), assigner);
    RowMatrixXf centroids = Eigen::Map<const RowMatrixXf>(clustering.centroids.data(), k, dim);
    if (options.spherical && n == k) {  // FAISS returns the points as they are.
      for (int64_t i = 0; i < k; ++i) centroids.row(i).normalize();
    }
    return centroids;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("out of memory for ", k, " centroids of ", n, " points"));
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("FAISS: ", e.what()));
  }
}

}  // namespace protopage
