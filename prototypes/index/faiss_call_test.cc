#include "protopage/prototypes/index/faiss_call.h"

#include <cblas.h>
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::Status Train(int64_t n, const float* points, faiss::Clustering& clustering,
                   faiss::Index& assigner) {
  const FaissCall call;
  PROTOPAGE_RETURN_IF_ERROR(call.status());
  clustering.train(n, points, assigner);
  return absl::OkStatus();
}

TEST(FaissCallTest, TheExampleOfTheHeader) {
  const std::vector<float> points = {0, 0, 0, 1, 5, 5, 5, 6};
  faiss::ClusteringParameters parameters;
  parameters.min_points_per_centroid = 1;
  faiss::Clustering clustering(2, 2, parameters);
  faiss::IndexFlatL2 assigner(2);
  PROTOPAGE_ASSERT_OK(Train(4, points.data(), clustering, assigner));
  EXPECT_EQ(clustering.centroids.size(), 4u);
}

TEST(FaissCallTest, TheProcessKeepsItsNumbersOfThreads) {
  omp_set_num_threads(3);
  openblas_set_num_threads(2);
  const int blas_threads = openblas_get_num_threads();  // Its limit may be lower.
  {
    const FaissCall call;
    const FaissCall nested;
    EXPECT_EQ(omp_get_max_threads(), 1);
    EXPECT_EQ(openblas_get_num_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
  EXPECT_EQ(openblas_get_num_threads(), blas_threads);
}

TEST(FaissCallTest, AWrongProductIsFound) {
  const auto right = [](int n, int m, int d, const float* x, const float* y, float* c) {
    for (int i = 0; i < n * m; ++i) {
      c[i] = 0;
      for (int k = 0; k < d; ++k) c[i] += x[i / m * d + k] * y[i % m * d + k];
    }
  };
  PROTOPAGE_EXPECT_OK(CheckMatrixProduct(right));
  // Wrong in one element of blocks of 32.
  const auto wrong = [&](int n, int m, int d, const float* x, const float* y, float* c) {
    right(n, m, d, x, y, c);
    if (n >= 32) c[32 * m - 1] += 1;
  };
  EXPECT_THAT(CheckMatrixProduct(wrong),
              StatusIs(absl::StatusCode::kInternal, "OPENBLAS_CORETYPE=Haswell"));
}

TEST(FaissCallTest, WithoutMemoryForTheBlasTheErrorSaysSo) {
  rlimit saved;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &saved), 0);
  rlimit none = saved;
  none.rlim_cur = 0;
  // More at a time than the tests before had, so that one needs a new buffer.
  const FaissCall first, second;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  std::string message;
  absl::StatusCode code;
  {
    const FaissCall third;
    code = third.status().code();
    message = std::string(third.status().message());
  }
  ASSERT_EQ(setrlimit(RLIMIT_AS, &saved), 0);
  EXPECT_EQ(code, absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(message, testing::HasSubstr("192 MiB more for thread 3"));
  PROTOPAGE_EXPECT_OK(FaissCall().status());
}

}  // namespace
}  // namespace protopage
