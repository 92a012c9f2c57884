#include "protopage/eval/cosine_tiles.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "protopage/base/mutex.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/test_features.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// With the example of the header.
RowMatrixXf AllCosines(const RowMatrixXf& features, RowMatrixXf unit_prototypes, int num_threads) {
  NormalizeRows(unit_prototypes);
  ThreadPool pool(num_threads);
  RowMatrixXf all(features.rows(), unit_prototypes.rows());
  all.setConstant(99);
  ForEachCosineTile(features, unit_prototypes, pool, [&](const CosineTile& tile) {
    for (int64_t i = 0; i < tile.cosines.rows(); ++i) {
      all.row(tile.first_a + i).segment(tile.first_b, tile.cosines.cols()) = tile.cosines.row(i);
    }
  });
  return all;
}

TEST(ForEachCosineTile, VisitsEveryPairWithItsCosine) {
  // Around the borders of tiles.
  for (const auto& [rows_a, rows_b] :
       {std::pair<int64_t, int64_t>{1, 1}, {127, 513}, {128, 512}, {300, 1100}, {0, 5}, {5, 0}}) {
    const RowMatrixXf a = MakeTestFeatures(1, rows_a, 1, 24, 1).features;
    const RowMatrixXf b = MakeTestFeatures(2, rows_b, 1, 24, 1).features;
    const RowMatrixXf cosines = AllCosines(a, b, 2);
    // Two unit vectors of 24 entries in float: the rounding of entries, products and sums stays
    // below (24 + 4) epsilon.
    ASSERT_TRUE(cosines.cast<double>().isApprox(PlainCosines(a, b), 0) ||
                (cosines.cast<double>() - PlainCosines(a, b)).cwiseAbs().maxCoeff() <
                    28 * std::numeric_limits<float>::epsilon());
    EXPECT_EQ(AllCosines(a, b, 1), cosines);  // The same bits.
  }
}

TEST(ForEachCosineTile, VisitsARowsTilesInOrderOnOneThread) {
  const RowMatrixXf a = MakeTestFeatures(1, 300, 1, 4, 1).features;
  RowMatrixXf b = MakeTestFeatures(2, 1100, 1, 4, 1).features;
  NormalizeRows(b);
  ThreadPool pool(2);
  Mutex mutex;
  std::vector<int64_t> next_b(300, 0);
  std::vector<int> threads(300, -1);
  ForEachCosineTile(a, b, pool, [&](const CosineTile& tile) {
    const MutexLock lock(mutex);
    ASSERT_GE(tile.thread, 0);
    ASSERT_LT(tile.thread, 2);
    for (int64_t i = tile.first_a; i < tile.first_a + tile.cosines.rows(); ++i) {
      ASSERT_EQ(next_b[i], tile.first_b);
      next_b[i] += tile.cosines.cols();
      ASSERT_TRUE(tile.first_b == 0 || threads[i] == tile.thread) << i;
      threads[i] = tile.thread;
    }
  });
  EXPECT_EQ(next_b, std::vector<int64_t>(300, 1100));
}

TEST(NormalizeRows, MakesUnitRowsAndLeavesZeroRows) {
  RowMatrixXf rows(4, 2);
  rows << 3, -4, 0, 0, 3e30f, 4e30f, 3e-3f, 4e-3f;
  NormalizeRows(rows);
  RowMatrixXf expected(4, 2);
  expected << 0.6f, -0.8f, 0, 0, 0.6f, 0.8f, 0.6f, 0.8f;
  EXPECT_TRUE(rows.isApprox(expected, 1e-6f)) << rows;
}

TEST(CheckFinite, NamesTheFirstBadRow) {
  RowMatrixXf rows = RowMatrixXf::Ones(5, 3);
  PROTOPAGE_EXPECT_OK(CheckFinite("probe", rows));
  rows(4, 0) = std::numeric_limits<float>::quiet_NaN();
  rows(3, 1) = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(CheckFinite("probe", rows), StatusIs(kInvalidArgument, "probe 3 is not finite"));
  EXPECT_THAT(CheckFinite("probe", rows, 100),
              StatusIs(kInvalidArgument, "probe 103 is not finite"));
}

}  // namespace
}  // namespace protopage
