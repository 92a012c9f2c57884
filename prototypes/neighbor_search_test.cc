#include "protopage/prototypes/neighbor_search.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/index/index_kernels.h"
#include "protopage/prototypes/testing/mixture_rows.h"

namespace protopage {
namespace {

// A store of MixtureRows, which `rows` [N, D] is filled with too.
std::unique_ptr<PrototypeStore> MixtureStore(const std::string& name, RowMatrixXf& rows) {
  PrototypeStoreSpec spec;
  spec.num_classes = rows.rows();
  spec.dim = rows.cols();
  auto store = PrototypeStore::Create(
      absl::StrCat(testing::TempDir(), "/neighbor_search_test_", name, "_", getpid()), spec, {});
  PROTOPAGE_EXPECT_OK(store.status());
  MixtureRows(rows.rows(), rows.cols(), 1).Read(0, rows);
  PROTOPAGE_EXPECT_OK((*store)->WriteRange(0, rows));
  return *std::move(store);
}

absl::Status Example(ClassQueues* queues, const std::unique_ptr<PrototypeStore>& store,
                     const std::unique_ptr<ClassIndex>& index,
                     const std::vector<ClassId>& positives) {
  ThreadPool pool(2);
  constexpr int64_t step = 0;
  PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(
      positives, step,
      [&](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
        return FindNeighbors(store.get(), *index, &pool, ids, k, neighbors);
      }));
  return absl::OkStatus();
}

// A search may run while the rows of coming steps fill the cache.
TEST(NeighborSearchTest, FindNeighborsNeedsNoRoomInTheCache) {
  constexpr int64_t kClasses = 300, kDim = 8, kNeighbors = 5;
  RowMatrixXf rows(kClasses, kDim);
  const auto large = MixtureStore("large_cache", rows);
  PROTOPAGE_ASSERT_OK(large->Flush());
  PrototypeStoreOptions options;
  options.cache_bytes = 1 << 10;
  options.read_only = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto small, PrototypeStore::Open(large->path(), options));
  const int64_t room = small->stats().capacity_rows;
  ASSERT_LT(room, 20);
  std::vector<ClassId> all(room);
  std::iota(all.begin(), all.end(), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, small->Prefetch(all));

  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index,
      BuildClassIndex(kClasses, kDim, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return large->ReadRange(first, out);
      }));
  std::vector<ClassId> ids;
  for (ClassId id = 0; id < kClasses; ++id) ids.push_back(id * 7 % 290);  // Some are repeated.
  std::vector<ClassId> expected(ids.size() * kNeighbors), found(expected.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    PROTOPAGE_ASSERT_OK(
        FindNeighbors(large.get(), *index, &pool, {ids[i]}, kNeighbors,
                      absl::MakeSpan(expected).subspan(i * kNeighbors, kNeighbors)));
  }
  PROTOPAGE_ASSERT_OK(
      FindNeighbors(small.get(), *index, &pool, ids, kNeighbors, absl::MakeSpan(found)));
  EXPECT_EQ(found, expected);
  EXPECT_EQ(small->stats().cached_rows, room);
  EXPECT_THAT(FindNeighbors(small.get(), *index, &pool, {3, kClasses}, kNeighbors,
                            absl::MakeSpan(found).first(2 * kNeighbors)),
              StatusIs(absl::StatusCode::kOutOfRange, "id 300 at position 1"));
}

TEST(NeighborSearchTest, TheExampleOfTheHeader) {
  RowMatrixXf rows(40, 8);
  const auto store = MixtureStore("example", rows);
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index, BuildClassIndex(40, 8, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto queues,
      ClassQueues::Create(
          absl::StrCat(testing::TempDir(), "/neighbor_search_test_queues_", getpid()), 40, {}));
  PROTOPAGE_ASSERT_OK(Example(queues.get(), store, index, {3, 9}));
  EXPECT_EQ(queues->stats().built, 2);
}

TEST(NeighborSearchTest, SearchesWithTheRowsOfTheStore) {
  PrototypeStoreSpec spec;
  spec.num_classes = 700;
  spec.dim = 32;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto store,
      PrototypeStore::Create(absl::StrCat(testing::TempDir(), "/neighbor_search_test_", getpid()),
                             spec, {}));
  RowMatrixXf rows(700, 32);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
  PROTOPAGE_ASSERT_OK(store->WriteRange(0, rows));
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index, BuildClassIndex(700, 32, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  // Class 5 moved since: its neighbours are those of where it is now.
  PROTOPAGE_ASSERT_OK(store->Scatter({5}, -rows.row(8)));
  std::vector<ClassId> ids(600), neighbors(600 * 10), want;
  std::iota(ids.begin(), ids.end(), 0);
  PROTOPAGE_ASSERT_OK(
      FindNeighbors(store.get(), *index, &pool, ids, 10, absl::MakeSpan(neighbors)));
  for (ClassId id : {0, 5, 8, 300, 599}) {
    const RowMatrixXf query = id == 5 ? RowMatrixXf(-rows.row(8)) : RowMatrixXf(rows.row(id));
    // By looking at all classes.
    want.resize(700);
    std::iota(want.begin(), want.end(), 0);
    want.erase(want.begin() + id);
    std::sort(want.begin(), want.end(), [&](ClassId a, ClassId b) {
      return FixedOrderDot(query.data(), rows.row(a).data(), 32) >
             FixedOrderDot(query.data(), rows.row(b).data(), 32);
    });
    want.resize(10);
    EXPECT_EQ(std::vector<ClassId>(neighbors.begin() + id * 10, neighbors.begin() + id * 10 + 10),
              want);
  }
}

TEST(NeighborSearchTest, RowsAreReadPastTheCacheAndRecallIsMeasured) {
  constexpr int64_t kClasses = 3000, kDim = 32;
  RowMatrixXf rows(kClasses, kDim);
  const auto store = MixtureStore("ivf", rows);
  ThreadPool pool(2);
  ClassIndexOptions options;
  options.kind = "ivf_sq8";
  options.candidates = 1.5;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index,
      BuildClassIndex(kClasses, kDim, options, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  std::vector<ClassId> ids(100), neighbors(100 * 10);
  std::iota(ids.begin(), ids.end(), 50);
  PROTOPAGE_ASSERT_OK(
      FindNeighbors(store.get(), *index, &pool, ids, 10, absl::MakeSpan(neighbors)));
  EXPECT_GT(index->stats().rows_fetched, 100);
  EXPECT_EQ(store->stats().cached_rows, 0);

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(IndexRecall recall,
                                 MeasureRecall(store.get(), *index, &pool, 80, 20, 1));
  EXPECT_EQ(recall.classes, 80);
  EXPECT_EQ(recall.k, 20);
  EXPECT_GE(recall.recall, 0.95);
  EXPECT_EQ(store->stats().cached_rows, 0);
  // The rows move, the index does not learn of it: measured by the rows as they are now.
  PROTOPAGE_ASSERT_OK(store->WriteRange(0, rows.colwise().reverse()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(recall, MeasureRecall(store.get(), *index, &pool, 80, 20, 1));
  EXPECT_LT(recall.recall, 0.3);
  EXPECT_THAT(MeasureRecall(store.get(), *index, &pool, kClasses + 1, 20, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, "3001 sampled classes"));
}

TEST(NeighborSearchTest, EstimatedRecallAgreesWithTheMeasuredOne) {
  constexpr int64_t kClasses = 20000, kDim = 32, kNeighbors = 20;
  RowMatrixXf rows(kClasses, kDim);
  const auto store = MixtureStore("estimate", rows);
  ThreadPool pool(2);
  for (const int64_t probes : {0, 1}) {  // As many as are needed, and too few.
    ClassIndexOptions options;
    options.kind = "ivf_sq8";
    options.probes = probes;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        const auto index,
        BuildClassIndex(kClasses, kDim, options, &pool, [&](ClassId first, RowMatrixRef out) {
          return store->ReadRange(first, out);
        }));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const IndexRecall measured,
                                   MeasureRecall(store.get(), *index, &pool, 500, kNeighbors, 1));
    RecallEstimate sum;
    for (int64_t draw = 0; draw < 20; ++draw) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(
          const RecallEstimate estimate,
          EstimateRecall(store.get(), *index, &pool, kNeighbors, 1, draw));
      EXPECT_EQ(estimate.queries, 16);
      sum.queries += estimate.queries;
      sum.missed += estimate.missed;
    }
    EXPECT_NEAR(sum.recall(), measured.recall, 0.05);
    if (probes == 0) {
      EXPECT_GE(measured.recall, 0.95);
    } else {
      EXPECT_LT(measured.recall, 0.9);
    }
  }
}

TEST(NeighborSearchTest, DroppedClassesAreNobodysNeighbours) {
  RowMatrixXf rows(40, 8);
  const auto store = MixtureStore("dropped", rows);
  PROTOPAGE_ASSERT_OK(store->Drop({3, 9, 30}));
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index, BuildClassIndex(40, 8, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  // All the others, and then nothing.
  std::vector<ClassId> neighbors(39);
  PROTOPAGE_ASSERT_OK(
      FindNeighbors(store.get(), *index, &pool, {5}, 39, absl::MakeSpan(neighbors)));
  std::vector<ClassId> want;
  for (ClassId id = 0; id < 40; ++id) {
    if (id != 5 && id != 3 && id != 9 && id != 30) want.push_back(id);
  }
  std::vector<ClassId> found(neighbors.begin(), neighbors.begin() + 36);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, want);
  EXPECT_EQ(std::vector<ClassId>(neighbors.begin() + 36, neighbors.end()),
            std::vector<ClassId>(3, kNoClass));
}

TEST(NeighborSearchTest, RefusesAResultOfTheWrongSize) {
  PrototypeStoreSpec spec;
  spec.num_classes = 10;
  spec.dim = 4;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto store,
      PrototypeStore::Create(
          absl::StrCat(testing::TempDir(), "/neighbor_search_test_size_", getpid()), spec, {}));
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto index, BuildClassIndex(10, 4, {}, &pool, [&](ClassId first, RowMatrixRef out) {
        return store->ReadRange(first, out);
      }));
  std::vector<ClassId> neighbors(5);
  EXPECT_THAT(FindNeighbors(store.get(), *index, &pool, {1, 2}, 3, absl::MakeSpan(neighbors)),
              StatusIs(absl::StatusCode::kInvalidArgument, "room for 5 neighbors"));
}

}  // namespace
}  // namespace protopage
