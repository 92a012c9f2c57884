#include "protopage/trainer/step/row_prefetcher.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/table/pinned_rows.h"

namespace protopage {
namespace {

class RowPrefetcherTest : public ::testing::Test {
 protected:
  // 200 rows of 64 floats with momentum, of which the cache holds some dozens.
  void SetUp() override {
    const std::string path = JoinPath(
        ::testing::TempDir(),
        std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + ".h5");
    DefaultFileSystem()->Remove(path).IgnoreError();  // Usually it is not there.
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        store_,
        PrototypeStore::Create(path, {.num_classes = 200, .dim = 64}, {.cache_bytes = 64 << 10}));
  }

  std::unique_ptr<PrototypeStore> store_;
};

std::vector<ClassId> Range(ClassId first, int64_t count) {
  std::vector<ClassId> ids(count);
  for (int64_t i = 0; i < count; ++i) ids[i] = first + i;
  return ids;
}

TEST_F(RowPrefetcherTest, TheExampleOfTheHeader) {
  const std::unique_ptr<PrototypeStore>& store = store_;
  const int64_t step = 3;
  const std::vector<ClassId> classes = {4, 1, 9};
  StepRows rows;
  const auto example = [&]() -> absl::Status {
    RowPrefetcher prefetcher(store.get(), /*rows_per_step=*/256);
    prefetcher.Submit(step, classes);  // When the step is planned.
    PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, prefetcher.Finish(step));  // At its turn.
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(classes, &rows));
    pinned.Release();
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
  EXPECT_EQ(rows.rows.rows(), 3);
}

TEST_F(RowPrefetcherTest, GathersFindTheRowsInTheCache) {
  RowPrefetcher prefetcher(store_.get(), 10);
  StepRows rows;
  for (int64_t step = 0; step < 50; ++step) {
    prefetcher.Submit(step, Range(step * 3, 8));
    // Finished a step later, as with look-ahead: mostly the rows are there by then. They are right
    // in any case.
    if (step == 0) continue;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, prefetcher.Finish(step - 1));
    PROTOPAGE_ASSERT_OK(store_->GatherStep(Range((step - 1) * 3, 8), &rows));
    for (int64_t i = 0; i < 8; ++i) {
      std::vector<float> expected(64);
      InitialPrototype(0, (step - 1) * 3 + i, absl::MakeSpan(expected));
      for (int64_t d = 0; d < 64; ++d) ASSERT_EQ(rows.rows(i, d), expected[d]);
    }
  }
}

// Pins that nobody releases would fill the cache. The prefetcher reads some of these 1,000 steps
// before their gather and some after it.
TEST_F(RowPrefetcherTest, LeavesNoPins) {
  RowPrefetcher prefetcher(store_.get(), 10);
  StepRows rows;
  for (int64_t step = 0; step < 1000; ++step) {
    const std::vector<ClassId> ids = Range(step * 7 % 190, 10);
    prefetcher.Submit(step, ids);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, prefetcher.Finish(step));
    PROTOPAGE_ASSERT_OK(store_->GatherStep(ids, &rows)) << step;
  }
}

// However far the planner runs ahead, pinned rows leave room for the step that is gathered.
TEST_F(RowPrefetcherTest, NeverPinsWhatTheCacheHasNoRoomFor) {
  const int64_t capacity = store_->stats().capacity_rows;
  for (const int64_t rows_per_step : {capacity / 2, capacity * 2 / 3, capacity}) {
    RowPrefetcher prefetcher(store_.get(), rows_per_step);
    StepRows rows;
    const auto ids = [&](int64_t step) {
      return Range(step * 13 % (200 - rows_per_step), rows_per_step);
    };
    constexpr int64_t kSteps = 200, kAhead = 5;
    for (int64_t step = 0; step < kAhead; ++step) prefetcher.Submit(step, ids(step));
    for (int64_t step = 0; step < kSteps; ++step) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, prefetcher.Finish(step));
      PROTOPAGE_ASSERT_OK(store_->GatherStep(ids(step), &rows)) << step;
      if (step + kAhead < kSteps) prefetcher.Submit(step + kAhead, ids(step + kAhead));
    }
  }
}

TEST_F(RowPrefetcherTest, ReportsTheStoresErrorForItsStepOnly) {
  RowPrefetcher prefetcher(store_.get(), 10);
  prefetcher.Submit(0, {1, 2000});
  // Finish may come before the prefetch has begun, and cancels it then.
  const absl::Status status = prefetcher.Finish(0).status();
  EXPECT_TRUE(status.ok() || absl::IsOutOfRange(status)) << status;
  prefetcher.Submit(1, {1, 2});
  PROTOPAGE_EXPECT_OK(prefetcher.Finish(1).status());
}

// As many rows as the cache holds can be gathered only while none of its frames is pinned.
TEST_F(RowPrefetcherTest, PinsLiveAsLongAsTheHandleOrThePrefetcher) {
  const int64_t capacity = store_->stats().capacity_rows;
  RowMatrixXf all(capacity, 64);
  const auto gather_all = [&](ClassId first) {
    return store_->Gather(Range(first, capacity), all);
  };
  const auto no_room = StatusIs(absl::StatusCode::kResourceExhausted, "in use");
  PinnedRows pinned;
  {
    RowPrefetcher prefetcher(store_.get(), 10);
    for (int64_t step = 0; pinned.empty(); ++step) {  // Finish may come before a prefetch begins.
      prefetcher.Submit(step, Range(0, 10));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(pinned, prefetcher.Finish(step));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows again, prefetcher.Finish(step));
      EXPECT_TRUE(again.empty());
    }
    EXPECT_EQ(pinned.size(), 10u);
    const int64_t misses = store_->stats().misses;
    prefetcher.Submit(1'000'000'000, Range(150, 10));  // Begun, and never finished.
    while (store_->stats().misses == misses) std::this_thread::yield();
  }
  EXPECT_THAT(gather_all(100), no_room);
  pinned.Release();
  PROTOPAGE_EXPECT_OK(gather_all(100));
}

}  // namespace
}  // namespace protopage
