#include "protopage/prototypes/index/exact_neighbors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 1000, kDim = 20, kK = 15;

absl::StatusOr<ClassId> Example(const RowMatrixXf& all, const RowMatrixXf& queries,
                                const std::vector<ClassId>& own_ids, int64_t q) {
  ThreadPool pool(2);
  const int64_t num_classes = all.rows();
  RowMatrixXf rows(100, kDim);
  const auto reader = [&](ClassId first, RowMatrixRef out) {
    out = all.middleRows(first, out.rows());
    return absl::OkStatus();
  };
  ExactNeighbors exact(queries, 50, own_ids);
  for (ClassId first = 0; first < num_classes; first += rows.rows()) {
    PROTOPAGE_RETURN_IF_ERROR(reader(first, rows));
    exact.Add(first, rows, &pool);
  }
  exact.Finish();
  const ClassId third = exact.ids()[q * 50 + 2];  // Of query q; likewise exact.scores().
  return third;
}

TEST(ExactNeighborsTest, TheExampleOfTheHeader) {
  RowMatrixXf rows(kClasses, kDim);
  MixtureRows(kClasses, kDim, 1).Read(0, rows);
  rows.row(5) = rows.row(700) = rows.row(8);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ClassId third,
                                 Example(rows, rows.middleRows(7, 2), {kNoClass, kNoClass}, 1));
  EXPECT_EQ(third, 700);
}

TEST(ExactNeighborsTest, FindsWhatSortingAllFindsInAnyBlocksAndThreads) {
  RowMatrixXf rows(kClasses, kDim);
  MixtureRows(kClasses, kDim, 1).Read(0, rows);
  for (int64_t i = 300; i < 360; ++i) rows.row(i) = rows.row(300);  // Ties.
  std::vector<ClassId> own = {0, 5, 310, 311, 700, 999, 3, 4, 8};
  RowMatrixXf queries(own.size(), kDim);
  for (size_t q = 0; q < own.size(); ++q) queries.row(q) = rows.row(own[q]);
  for (const int64_t block : {64, 1000}) {
    ThreadPool pool(block == 64 ? 1 : 3);
    ExactNeighbors exact(queries, kK, own);
    for (int64_t first = 0; first < kClasses; first += block) {
      exact.Add(first, rows.middleRows(first, std::min(block, kClasses - first)), &pool);
    }
    exact.Finish();
    for (size_t q = 0; q < own.size(); ++q) {
      std::vector<float> scores(kClasses);
      for (int64_t i = 0; i < kClasses; ++i) {
        scores[i] = FixedOrderDot(&queries(q, 0), &rows(i, 0), kDim);
      }
      std::vector<ClassId> want(kClasses);
      std::iota(want.begin(), want.end(), 0);
      want.erase(want.begin() + own[q]);
      std::sort(want.begin(), want.end(), [&](ClassId a, ClassId b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
      });
      for (int64_t j = 0; j < kK; ++j) {
        EXPECT_EQ(exact.ids()[q * kK + j], want[j]);
        EXPECT_EQ(exact.scores()[q * kK + j], scores[want[j]]);
      }
    }
  }
}

TEST(ExactNeighborsTest, FewerClassesThanAskedForAndRecall) {
  RowMatrixXf rows(4, kDim);
  MixtureRows(4, kDim, 1).Read(0, rows);
  ThreadPool pool(1);
  ExactNeighbors exact(rows.topRows(2), 5, {0, 1});
  exact.Add(0, rows, &pool);
  exact.Finish();
  for (int64_t q = 0; q < 2; ++q) {
    EXPECT_NE(exact.ids()[q * 5 + 2], kNoClass);
    EXPECT_EQ(exact.ids()[q * 5 + 3], kNoClass);
    EXPECT_EQ(exact.scores()[q * 5 + 3], -std::numeric_limits<float>::infinity());
  }
  EXPECT_EQ(RecallOf(exact, 5, {1, 2, 3, kNoClass, 0, 2, 3, kNoClass}), 1.0);
  EXPECT_EQ(RecallOf(exact, 5, {1, 0, 3, kNoClass}), 2.0 / 6);  // Two for each query: 1 and 1 of 3.
  EXPECT_EQ(RecallOf(exact, 5, {}), 0.0);
  // The nearest alone.
  EXPECT_EQ(RecallOf(exact, 1, {exact.ids()[0], exact.ids()[6]}), 0.5);
}

}  // namespace
}  // namespace protopage
