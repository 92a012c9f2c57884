#include "protopage/eval/top_k.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/test_features.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

// The k best rows by sorting all cosines, the lower row first on ties.
std::vector<int64_t> PlainTopK(const Eigen::MatrixXd& cosines, int64_t query, int64_t k) {
  std::vector<int64_t> order(cosines.cols());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return cosines(query, a) > cosines(query, b); });
  order.resize(std::min<int64_t>(k, order.size()));
  return order;
}

void ExpectPlainTopK(const RowMatrixXf& queries, const RowMatrixXf& rows, int64_t k) {
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TopK top,
                                 FindTopK(queries, MatrixRows(rows), {.k = k}, pool));
  const Eigen::MatrixXd cosines = PlainCosines(queries, rows);
  ASSERT_EQ(top.rows.rows(), queries.rows());
  ASSERT_EQ(top.rows.cols(), k);
  for (int64_t i = 0; i < queries.rows(); ++i) {
    const std::vector<int64_t> expected = PlainTopK(cosines, i, k);
    for (size_t j = 0; j < expected.size(); ++j) {
      ASSERT_EQ(top.rows(i, j), expected[j]) << "query " << i << " place " << j;
      ASSERT_NEAR(top.cosines(i, j), cosines(i, expected[j]), 1e-5);
    }
  }
}

absl::StatusOr<int64_t> Example(const RowMatrixXf& features, const RowSource& prototypes) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(const TopK top, FindTopK(features, prototypes, {.k = 5}, pool));
  const int64_t nearest = top.rows(3, 0);  // The row nearest to query 3.
  return nearest;
}

TEST(FindTopK, TheExampleOfTheHeader) {
  const RowMatrixXf features = MakeTestFeatures(1, 8, 1, 16, 1).features;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t nearest, Example(features, MatrixRows(features)));
  EXPECT_EQ(nearest, 3);
}

TEST(FindTopK, AgreesWithSortingAllCosines) {
  // More rows than a block, so that answers come from several.
  ASSERT_GT(2 * 2600, kTopKBlockRows);
  ExpectPlainTopK(MakeTestFeatures(1, 40, 4, 16, 1).features,
                  MakeTestFeatures(2, 2600, 2, 16, 1).features, 5);
  ExpectPlainTopK(MakeTestFeatures(1, 300, 1, 8, 1).features,
                  MakeTestFeatures(2, 50, 1, 8, 1).features, 1);
}

TEST(FindTopK, GivesTheLowerRowOnTies) {
  ExpectPlainTopK(MakeTiedFeatures(1, 200, 1, 12).features,
                  MakeTiedFeatures(2, 5000, 1, 12).features, 7);
}

TEST(FindTopK, DoesNotDependOnTheNumberOfThreads) {
  const RowMatrixXf queries = MakeTestFeatures(1, 300, 1, 32, 1).features;
  const RowMatrixXf rows = MakeTestFeatures(2, 5000, 1, 32, 1).features;
  ThreadPool one(1), three(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TopK a, FindTopK(queries, MatrixRows(rows), {}, one));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TopK b, FindTopK(queries, MatrixRows(rows), {}, three));
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.cosines, b.cosines);
}

TEST(FindTopK, LeavesOutExcludedRowsAndMarksMissingOnes) {
  const RowMatrixXf rows = RowMatrixXf::Identity(6, 6);
  RowMatrixXf query(1, 6);
  query << 6, 5, 4, 3, 2, 1;
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const TopK top,
      FindTopK(query, MatrixRows(rows),
               {.k = 5, .excluded = [](int64_t row) { return row == 0 || row == 3; }}, pool));
  EXPECT_EQ(top.rows(0, 0), 1);
  EXPECT_EQ(top.rows(0, 1), 2);
  EXPECT_EQ(top.rows(0, 2), 4);
  EXPECT_EQ(top.rows(0, 3), 5);
  EXPECT_EQ(top.rows(0, 4), -1);
  EXPECT_EQ(top.cosines(0, 4), -std::numeric_limits<float>::infinity());
}

TEST(FindTopK, ReadsEveryRowOnceInOrder) {
  const RowMatrixXf queries = MakeTestFeatures(1, 3, 1, 4, 1).features;
  int64_t next = 0;
  const RowSource rows = {
      .rows = 2 * kTopKBlockRows + 1, .dim = 4, .read = [&](int64_t first, RowMatrixRef out) {
        EXPECT_EQ(first, next);
        next += out.rows();
        EXPECT_LE(out.rows(), kTopKBlockRows);
        out.setOnes();
        return absl::OkStatus();
      }};
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK(FindTopK(queries, rows, {}, pool));
  EXPECT_EQ(next, 2 * kTopKBlockRows + 1);
}

TEST(FindTopK, RefusesBadInput) {
  RowMatrixXf queries = RowMatrixXf::Ones(3, 4);
  RowMatrixXf rows = RowMatrixXf::Ones(5, 4);
  ThreadPool pool(1);
  EXPECT_THAT(FindTopK(queries, MatrixRows(rows), {.k = 0}, pool),
              StatusIs(kInvalidArgument, "k is 0"));
  EXPECT_THAT(FindTopK(RowMatrixXf::Ones(3, 5), MatrixRows(rows), {}, pool),
              StatusIs(kInvalidArgument, "queries have 5 columns, but rows have 4"));
  rows(4, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(FindTopK(queries, MatrixRows(rows), {}, pool),
              StatusIs(kInvalidArgument, "row 4 is not finite"));
  queries(2, 1) = std::numeric_limits<float>::infinity();
  EXPECT_THAT(FindTopK(queries, MatrixRows(rows), {}, pool),
              StatusIs(kInvalidArgument, "query 2 is not finite"));
  const RowSource broken = {.rows = 5, .dim = 4, .read = [](int64_t, RowMatrixRef) {
                              return absl::DataLossError("w.h5: row 3: checksum");
                            }};
  EXPECT_THAT(FindTopK(RowMatrixXf::Ones(1, 4), broken, {}, pool),
              StatusIs(absl::StatusCode::kDataLoss, "w.h5"));
}

}  // namespace
}  // namespace protopage
