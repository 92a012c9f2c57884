#include "protopage/prototypes/table/row_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/faulty_file_system.h"

namespace protopage {
namespace {

// Rows of one wide column of 16 values and one narrow one.
absl::StatusOr<std::unique_ptr<PagedTable>> MakeTable(FileSystem* fs, const std::string& name,
                                                      int64_t rows,
                                                      const TableOptions& options = {}) {
  TableSpec spec;
  spec.kind = "test";
  spec.num_rows = rows;
  spec.capacity = rows;
  spec.columns = {{"wide", CellType::kInt64, 16}, {"narrow", CellType::kInt64, 1}};
  return PagedTable::Create(
      fs, absl::StrCat(testing::TempDir(), "/row_cache_test_", getpid(), "_", name), spec, options);
}

void Fill(char* record, int64_t value) {
  std::vector<int64_t> cells(17, value);
  std::memcpy(record, cells.data(), 17 * 8);
}

absl::Status WriteValue(RowCache* cache, const std::vector<int64_t>& ids, int64_t value) {
  return cache->Write(ids, RowCache::kWhole, [&](size_t, char* record) { Fill(record, value); });
}

// The value of each row; -1 for a row whose cells differ.
absl::StatusOr<std::vector<int64_t>> ReadValues(RowCache* cache, const std::vector<int64_t>& ids) {
  std::vector<int64_t> values(ids.size());
  PROTOPAGE_RETURN_IF_ERROR(cache->Read(ids, [&](size_t i, const char* record) {
    int64_t cells[17];
    std::memcpy(cells, record, sizeof(cells));
    values[i] = std::equal(cells + 1, cells + 17, cells) ? cells[0] : -1;
  }));
  return values;
}

RowCacheOptions Frames(const PagedTable& table, int64_t frames) {
  RowCacheOptions options;
  options.cache_bytes = frames * ((table.record_bytes() + 63) / 64 * 64 + 76);
  return options;
}

TEST(RowCacheTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "example", 100));
  const std::vector<int64_t> ids = {4, 1};
  const int64_t bytes = table->record_bytes();
  char first[200] = "first", second[200] = "second";
  char* const rows[] = {first, second};
  const auto example = [&]() -> absl::Status {
    RowCacheOptions options;
    options.cache_bytes = 64 << 20;
    RowCache cache(table.get(), options);
    PROTOPAGE_RETURN_IF_ERROR(cache.Write(ids, RowCache::kWhole, [&](size_t i, char* record) {
      std::memcpy(record, rows[i], bytes);
    }));
    PROTOPAGE_RETURN_IF_ERROR(cache.Read(
        ids, [&](size_t i, const char* record) { std::memcpy(rows[i], record, bytes); }));
    PROTOPAGE_RETURN_IF_ERROR(cache.Flush());
    return absl::OkStatus();
  };
  ASSERT_LE(bytes, 200);
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_STREQ(first, "first");
  EXPECT_STREQ(second, "second");
}

// Of pinned_rows.h.
TEST(RowCacheTest, TheExampleOfTheHeaderOfPinnedRows) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "pin_example", 100));
  RowCache cache(table.get(), {});
  const std::vector<int64_t> ids = {4, 1};
  const auto visit = [](size_t, const char*) {};
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, cache.Pin(ids));
    PROTOPAGE_RETURN_IF_ERROR(cache.Read(ids, visit));  // Finds all rows in the cache.
    pinned.Release();                                   // Or at the end of its life.
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(cache.stats().hits, 2);
}

TEST(RowCacheTest, TheBudgetHoldsAndRowsAreEvictedOnlyAfterTheyWereWritten) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "budget", 1000));
  const RowCacheOptions options = Frames(*table, 20);
  RowCache cache(table.get(), options);
  EXPECT_EQ(cache.num_frames(), 20);
  for (int64_t id = 0; id < 1000; ++id) PROTOPAGE_ASSERT_OK(WriteValue(&cache, {id}, id + 1));
  EXPECT_LE(cache.stats().bytes, options.cache_bytes);
  EXPECT_EQ(cache.stats().cached_rows, 20);
  for (int64_t id = 0; id < 1000; ++id) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, ReadValues(&cache, {id}));
    EXPECT_EQ(values[0], id + 1);
  }
  EXPECT_GE(table->stats().rows_written, 980);
}

TEST(RowCacheTest, NothingIsWrittenWhileFewRowsAreDirty) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "lazy", 1000));
  RowCache cache(table.get(), Frames(*table, 100));
  for (int64_t i = 0; i < 200; ++i) PROTOPAGE_ASSERT_OK(WriteValue(&cache, {i % 40}, i));
  EXPECT_EQ(table->stats().rows_written, 0);
  EXPECT_EQ(cache.stats().dirty_rows, 40);
  PROTOPAGE_ASSERT_OK(cache.Flush());
  EXPECT_EQ(table->stats().rows_written, 40);
  EXPECT_EQ(cache.stats().dirty_rows, 0);
  PROTOPAGE_ASSERT_OK(cache.Flush());
  EXPECT_EQ(table->stats().rows_written, 40);
}

TEST(RowCacheTest, AFlushOfNeighboursIsFewWrites) {
  FaultyFileSystem fs;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(&fs, "coalesced", 1000));
  RowCache cache(table.get(), Frames(*table, 1000));
  std::vector<int64_t> ids(256);
  std::iota(ids.rbegin(), ids.rend(), 100);  // Descending: the cache sorts.
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, ids, 3));
  const int64_t before = fs.writes();
  PROTOPAGE_ASSERT_OK(cache.Flush());
  // 4 batches of 64 rows of 128 bytes, three blocks of two datasets, and the header twice.
  EXPECT_LE(fs.writes() - before, 4 + 3 * 2 + 2);
}

TEST(RowCacheTest, AWholeWriteDoesNotReadAndAPartialOneDoes) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "kinds", 1000));
  {
    RowCache cache(table.get(), Frames(*table, 100));
    PROTOPAGE_ASSERT_OK(WriteValue(&cache, {5, 6}, 8));
    PROTOPAGE_ASSERT_OK(cache.Flush());
  }
  RowCache cache(table.get(), Frames(*table, 100));
  const int64_t before = table->stats().rows_read;
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, {5}, 9));
  EXPECT_EQ(table->stats().rows_read, before);
  PROTOPAGE_ASSERT_OK(cache.Write({6}, RowCache::kPart, [](size_t, char* record) {
    int64_t cell;
    std::memcpy(&cell, record + 8, 8);
    EXPECT_EQ(cell, 8);
    Fill(record, 10);
  }));
  EXPECT_EQ(table->stats().rows_read, before + 1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, ReadValues(&cache, {5, 6, 5}));
  EXPECT_EQ(values, (std::vector<int64_t>{9, 10, 9}));
}

TEST(RowCacheTest, ARowStaysCachedUntilTheLastOfItsPinsIsReleased) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "pins", 1000));
  RowCache cache(table.get(), Frames(*table, 10));
  const auto use_other_rows = [&](int64_t first) {
    for (int64_t id = first; id < first + 100; ++id) {
      PROTOPAGE_ASSERT_OK(ReadValues(&cache, {id}).status());
    }
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(PinnedRows three, cache.Pin({1, 2, 3}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(PinnedRows one, cache.Pin({1}));
  use_other_rows(100);
  const int64_t misses = cache.stats().misses;
  PROTOPAGE_ASSERT_OK(ReadValues(&cache, {1, 2, 3}).status());
  PROTOPAGE_ASSERT_OK(ReadValues(&cache, {1, 2, 3}).status());  // A read releases nothing.
  EXPECT_EQ(cache.stats().misses, misses);
  three.Release();
  use_other_rows(200);
  const int64_t later = cache.stats().misses;
  PROTOPAGE_ASSERT_OK(ReadValues(&cache, {1}).status());
  EXPECT_EQ(cache.stats().misses, later);  // It had two pins.
  PROTOPAGE_ASSERT_OK(ReadValues(&cache, {2, 3}).status());
  EXPECT_EQ(cache.stats().misses, later + 2);
}

TEST(RowCacheTest, ARowThatIsPinnedTwiceByOneCallHasTwoPins) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "twice", 100));
  RowCache cache(table.get(), Frames(*table, 2));
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, cache.Pin({4, 4}));
    EXPECT_EQ(pinned.size(), 2u);
  }
  PROTOPAGE_EXPECT_OK(ReadValues(&cache, {7, 8}).status());  // Both frames are free again.
}

TEST(RowCacheTest, APinThatFailsPinsNothing) {
  FaultyFileSystem fs;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(&fs, "pin_errors", 100));
  {
    RowCache filling(table.get(), Frames(*table, 10));
    PROTOPAGE_ASSERT_OK(WriteValue(&filling, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1));
    PROTOPAGE_ASSERT_OK(filling.Flush());
  }
  RowCache cache(table.get(), Frames(*table, 3));
  EXPECT_THAT(cache.Pin({0, 1, 2, 3}).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, "in use"));
  fs.FailAt(1);
  EXPECT_THAT(cache.Pin({0, 1, 2}).status(),
              StatusIs(absl::StatusCode::kUnavailable, "injected fault"));
  fs.FailAt(0);
  for (int64_t id = 0; id < 10; id += 3) {
    PROTOPAGE_EXPECT_OK(ReadValues(&cache, {id, (id + 1) % 10, (id + 2) % 10}).status());
  }
}

// A row whose reading, which happens once, waits for GoOn.
class BlockedRow {
 public:
  explicit BlockedRow(int64_t row) : row_(row) {}

  TableOptions Options() {
    TableOptions options;
    options.default_cell = [this](int64_t row, void* cell) {
      if (row == row_) {
        reached_.set_value();
        go_on_.get_future().wait();
      }
      std::memset(cell, 0, 16 * 8);
    };
    return options;
  }
  void AwaitReader() { reached_.get_future().wait(); }
  void GoOn() { go_on_.set_value(); }

 private:
  const int64_t row_;
  std::promise<void> reached_;
  std::promise<void> go_on_;
};

// A read in a thread of its own.
class Reader {
 public:
  Reader(RowCache* cache, std::vector<int64_t> ids)
      : thread_([this, cache, ids = std::move(ids)] {
          status_ = ReadValues(cache, ids).status();
          ended_ = true;
        }) {}
  absl::Status Join() {
    thread_.join();
    return status_;
  }
  bool ended() const { return ended_; }

 private:
  absl::Status status_;
  std::atomic<bool> ended_{false};
  std::thread thread_;  // Last: it uses the others.
};

// Until `count` calls wait for frames, or the reader has ended.
void AwaitWaiting(const RowCache& cache, int64_t count, const Reader& reader) {
  while (cache.stats().waiting_calls < count && !reader.ended()) std::this_thread::yield();
}

TEST(RowCacheTest, ACallWaitsForTheFramesOfCallsThatRun) {
  BlockedRow blocked(0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto table, MakeTable(DefaultFileSystem(), "transient", 100, blocked.Options()));
  RowCache cache(table.get(), Frames(*table, 4));
  Reader first(&cache, {0, 1, 2, 3});
  blocked.AwaitReader();
  Reader second(&cache, {4, 5, 6, 7});
  AwaitWaiting(cache, 1, second);
  EXPECT_FALSE(second.ended());
  blocked.GoOn();
  PROTOPAGE_EXPECT_OK(first.Join());
  PROTOPAGE_EXPECT_OK(second.Join());
}

TEST(RowCacheTest, CallsThatWaitForFramesAreServedInTheirOrder) {
  BlockedRow blocked(0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table,
                                 MakeTable(DefaultFileSystem(), "order", 100, blocked.Options()));
  RowCache cache(table.get(), Frames(*table, 4));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, cache.Pin({9}));
  Reader first(&cache, {0, 1});
  blocked.AwaitReader();
  Reader large(&cache, {4, 5, 6});
  AwaitWaiting(cache, 1, large);
  // There is a frame for it, but a call that needs more waits already.
  Reader small(&cache, {8});
  AwaitWaiting(cache, 2, small);
  EXPECT_FALSE(small.ended());
  // What is cached needs no turn.
  PROTOPAGE_EXPECT_OK(ReadValues(&cache, {9}).status());
  EXPECT_EQ(cache.stats().waiting_calls, 2);
  blocked.GoOn();
  PROTOPAGE_EXPECT_OK(first.Join());
  PROTOPAGE_EXPECT_OK(large.Join());
  PROTOPAGE_EXPECT_OK(small.Join());
}

TEST(RowCacheTest, ACallThatWaitsForPinnedRowsAloneFails) {
  BlockedRow blocked(0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      auto table, MakeTable(DefaultFileSystem(), "pins_only", 100, blocked.Options()));
  RowCache cache(table.get(), Frames(*table, 4));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(PinnedRows pinned, cache.Pin({8, 9, 8}));
  Reader first(&cache, {0});
  blocked.AwaitReader();
  // It fits as soon as row 0 is read. Row 9 is pinned already and takes no other frame.
  Reader fits(&cache, {9, 1, 2, 1});
  AwaitWaiting(cache, 1, fits);
  EXPECT_FALSE(fits.ended());
  Reader too_large(&cache, {9, 1, 2, 3});
  AwaitWaiting(cache, 2, too_large);
  blocked.GoOn();
  PROTOPAGE_EXPECT_OK(first.Join());
  PROTOPAGE_EXPECT_OK(fits.Join());
  EXPECT_THAT(too_large.Join(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "5 rows would be in use, 2 of them pinned for coming steps, and the cache "
                       "can hold 4"));
  pinned.Release();
  PROTOPAGE_EXPECT_OK(ReadValues(&cache, {9, 1, 2, 3}).status());
}

// With calls that held a part of their frames while they wait for the others, this would not end.
TEST(RowCacheTest, CallsThatNeedAllFramesDoNotBlockEachOther) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "crowd", 100));
  RowCache cache(table.get(), Frames(*table, 6));
  const auto work = [&](uint64_t thread) {
    for (uint64_t call = 0; call < 300; ++call) {
      RandomStream random(thread, RandomPurpose::kTest, call);
      const std::vector<int64_t> ids = SampleWithoutReplacement(random, 12, 5);
      PROTOPAGE_ASSERT_OK(ReadValues(&cache, ids).status());
      PROTOPAGE_ASSERT_OK(WriteValue(&cache, ids, static_cast<int64_t>(call)));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, cache.Pin({ids[0]}));
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.stats().waiting_calls, 0);
}

TEST(RowCacheTest, CellsAreReadWhileAllFramesArePinned) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "cells", 100));
  RowCache cache(table.get(), Frames(*table, 4));
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, {1, 5}, 7));
  PROTOPAGE_ASSERT_OK(cache.Flush());
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, {5, 9}, 8));  // Dirty.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, cache.Pin({5, 9, 10, 11}));
  const int64_t read = table->stats().rows_read;
  std::vector<int64_t> narrow(6);
  PROTOPAGE_ASSERT_OK(cache.ReadCells(1, {0, 1, 5, 9, 10, 99}, narrow.data()));
  EXPECT_EQ(narrow, (std::vector<int64_t>{0, 7, 8, 8, 0, 0}));
  PROTOPAGE_ASSERT_OK(cache.ReadCells(1, {5, 9, 10}, narrow.data()));
  EXPECT_EQ(narrow[0] + narrow[1] + narrow[2], 16);
  EXPECT_EQ(table->stats().rows_read, read);
  EXPECT_EQ(cache.stats().cached_rows, 4);
}

TEST(RowCacheTest, APinKeepsNoValue) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "values", 100));
  RowCache cache(table.get(), Frames(*table, 10));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const PinnedRows pinned, cache.Pin({5}));
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, {5}, 9));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto values, ReadValues(&cache, {5}));
  EXPECT_EQ(values[0], 9);
}

TEST(RowCacheDeathTest, PinsMustBeReleasedBeforeTheCacheIsDestroyed) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "death", 100));
  const auto outlive = [&] {
    PinnedRows pinned;
    RowCache cache(table.get(), Frames(*table, 10));
    pinned = *cache.Pin({1});
  };
  EXPECT_DEATH(outlive(), "num_pins_ == 0");
}

TEST(RowCacheTest, ColumnsAreReadAndWrittenAroundTheCache) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto table, MakeTable(DefaultFileSystem(), "columns", 100));
  RowCache cache(table.get(), Frames(*table, 50));
  PROTOPAGE_ASSERT_OK(WriteValue(&cache, {3}, 7));  // Dirty.
  std::vector<int64_t> narrow(10);
  PROTOPAGE_ASSERT_OK(cache.ReadColumn(1, 0, 10, narrow.data()));
  EXPECT_EQ(narrow[3], 7);
  EXPECT_EQ(narrow[4], 0);
  std::iota(narrow.begin(), narrow.end(), 50);
  PROTOPAGE_ASSERT_OK(cache.WriteColumn(1, 0, 10, narrow.data()));
  EXPECT_EQ(cache.stats().cached_rows, 1);
  int64_t read = 0;
  PROTOPAGE_ASSERT_OK(
      cache.Read({3}, [&](size_t, const char* record) { std::memcpy(&read, record + 128, 8); }));
  EXPECT_EQ(read, 53);
  PROTOPAGE_ASSERT_OK(cache.ClearColumn(1));
  PROTOPAGE_ASSERT_OK(
      cache.Read({3}, [&](size_t, const char* record) { std::memcpy(&read, record + 128, 8); }));
  EXPECT_EQ(read, 0);
}

}  // namespace
}  // namespace protopage
