#include "protopage/prototypes/index/coarse_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 24;

RowMatrixXf Sample(int64_t n) {
  RowMatrixXf rows(n, kDim);
  MixtureRows(n, kDim, 3).Read(0, rows);
  return rows;
}

std::vector<const float*> Pointers(const RowMatrixXf& rows) {
  std::vector<const float*> pointers;
  for (int64_t i = 0; i < rows.rows(); ++i) pointers.push_back(&rows(i, 0));
  return pointers;
}

absl::Status Example(const RowMatrixXf& sample, const std::vector<const float*>& rows) {
  ThreadPool pool(2);
  constexpr uint64_t seed = 1;
  PROTOPAGE_ASSIGN_OR_RETURN(const CoarseLists lists,
                             CoarseLists::Train(sample, /*num_lists=*/100, seed, &pool));
  std::vector<CoarseLists::Hit> hits(rows.size() * 8);
  lists.Nearest(rows.data(), rows.size(), 8, hits.data());  // hits[i * 8]: nearest to rows[i].
  EXPECT_GE(hits[0].list, 0);
  return absl::OkStatus();
}

TEST(CoarseListsTest, TheExampleOfTheHeader) {
  const RowMatrixXf rows = Sample(500);
  PROTOPAGE_EXPECT_OK(Example(rows, Pointers(rows)));
}

TEST(CoarseListsTest, ASearchOfAllListsOrdersThemByScore) {
  const RowMatrixXf rows = Sample(2000);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists lists, CoarseLists::Train(rows, 100, 1, &pool));
  ASSERT_EQ(lists.num_lists(), 100);
  std::vector<CoarseLists::Hit> hits(50 * 100);
  lists.Nearest(Pointers(rows).data(), 50, 100, hits.data());
  for (int64_t i = 0; i < 50; ++i) {
    std::vector<std::pair<float, int32_t>> want;
    for (int32_t list = 0; list < 100; ++list) {
      want.emplace_back(-FixedOrderDot(&rows(i, 0), lists.centroid(list), kDim), list);
    }
    std::sort(want.begin(), want.end());
    for (int64_t j = 0; j < 100; ++j) {
      EXPECT_EQ(hits[i * 100 + j].list, want[j].second);
      EXPECT_EQ(hits[i * 100 + j].score, -want[j].first);
    }
  }
}

TEST(CoarseListsTest, TheNearestListIsRarelyMissed) {
  const RowMatrixXf rows = Sample(6000);
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists lists, CoarseLists::Train(rows, 300, 1, &pool));
  std::vector<CoarseLists::Hit> one(1000), all(1000 * 300), alone(1);
  const std::vector<const float*> pointers = Pointers(rows);
  lists.Nearest(pointers.data(), 1000, 1, one.data());
  lists.Nearest(pointers.data(), 1000, 300, all.data());
  int found = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    found += one[i].list == all[i * 300].list ? 1 : 0;
    if (i % 100 != 0) continue;
    lists.Nearest(&pointers[i], 1, 1, alone.data());  // The same bits in a call of its own.
    EXPECT_EQ(alone[0].list, one[i].list);
    EXPECT_EQ(alone[0].score, one[i].score);
  }
  EXPECT_GE(found, 950);
}

TEST(CoarseListsTest, TrainingDoesNotDependOnThreads) {
  const RowMatrixXf rows = Sample(1000);
  ThreadPool one(1), three(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists a, CoarseLists::Train(rows, 60, 1, &one));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists b, CoarseLists::Train(rows, 60, 1, &three));
  EXPECT_EQ(a.centroids(), b.centroids());
  EXPECT_EQ(a.group_begin(), b.group_begin());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists c, CoarseLists::Train(rows, 60, 2, &one));
  EXPECT_NE(a.centroids(), c.centroids());
}

TEST(CoarseListsTest, AsManyListsAsRowsAndEqualRows) {
  RowMatrixXf rows = Sample(40);
  rows.bottomRows(20).rowwise() = rows.row(0);
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CoarseLists lists, CoarseLists::Train(rows, 40, 1, &pool));
  EXPECT_EQ(lists.num_lists(), 40);
  EXPECT_EQ(lists.group_begin().back(), 40);
  EXPECT_THAT(CoarseLists::Train(rows, 41, 1, &pool),
              StatusIs(absl::StatusCode::kInvalidArgument, "41 lists of 40 rows"));
}

TEST(CoarseListsTest, PartsMustFitTogether) {
  RowMatrixXf groups(2, 3), centroids(5, 3);
  groups.setZero();
  centroids.setZero();
  PROTOPAGE_EXPECT_OK(CoarseLists::FromParts(groups, {0, 2, 5}, centroids).status());
  for (const std::vector<int64_t>& begin :
       {std::vector<int64_t>{0, 2, 4}, {0, 5, 5}, {0, 5}, {1, 2, 5}, {0, 6, 5}}) {
    EXPECT_THAT(CoarseLists::FromParts(groups, begin, centroids),
                StatusIs(absl::StatusCode::kDataLoss, "do not fit together"));
  }
}

}  // namespace
}  // namespace protopage
