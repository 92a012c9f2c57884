#include "protopage/prototypes/index/kmeans.h"

#include <gtest/gtest.h>

#include <thread>

#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

// 5 clusters of 40 points around 10 e_c.
RowMatrixXf Points() {
  RowMatrixXf points(200, 5);
  RandomStream random(1, RandomPurpose::kTest, 1);
  for (int64_t i = 0; i < points.rows(); ++i) {
    for (int64_t d = 0; d < 5; ++d) points(i, d) = 0.1f * random.Normal();
    points(i, i % 5) += 10;
  }
  return points;
}

absl::StatusOr<RowMatrixXf> Example(const RowMatrixXf& points) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RowMatrixXf centroids,
                             KMeans(points, /*k=*/64, {.spherical = true}));
  return centroids;
}

TEST(KMeansTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf centroids, Example(Points()));
  EXPECT_EQ(centroids.rows(), 64);
}

TEST(KMeansTest, FindsSeparateClusters) {
  const RowMatrixXf points = Points();
  for (const bool spherical : {false, true}) {
    KMeansOptions options;
    options.spherical = spherical;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf centroids, KMeans(points, 20, options));
    ASSERT_EQ(centroids.rows(), 20);
    for (int64_t i = 0; i < points.rows(); ++i) {
      const RowMatrixXf point =
          spherical ? RowMatrixXf(points.row(i).normalized()) : RowMatrixXf(points.row(i));
      const float nearest = (centroids.rowwise() - point.row(0)).rowwise().norm().minCoeff();
      EXPECT_LT(nearest, spherical ? 0.1f : 1.0f) << i;
    }
    if (!spherical) continue;
    for (int64_t c = 0; c < 20; ++c) EXPECT_NEAR(centroids.row(c).norm(), 1, 1e-5);
  }
}

TEST(KMeansTest, TheSameBitsInAnotherThreadAndFromAPartOfAMatrix) {
  const RowMatrixXf points = Points();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf here, KMeans(points, 8, {}));
  RowMatrixXf wide(200, 9), there;
  wide.setConstant(7);
  wide.middleCols(2, 5) = points;
  std::thread([&] { there = *KMeans(wide.middleCols(2, 5), 8, {}); }).join();
  EXPECT_EQ(here, there);
}

TEST(KMeansTest, AsManyCentroidsAsPoints) {
  const RowMatrixXf points = Points().topRows(5);
  KMeansOptions options;
  options.spherical = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf centroids, KMeans(points, 5, options));
  for (int64_t c = 0; c < 5; ++c) EXPECT_NEAR(centroids.row(c).norm(), 1, 1e-5);
  EXPECT_THAT(KMeans(points, 6, options),
              StatusIs(absl::StatusCode::kInvalidArgument, "6 centroids of 5 points"));
}

}  // namespace
}  // namespace protopage
