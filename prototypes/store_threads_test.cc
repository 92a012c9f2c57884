// Four threads do all that a run does to a store with a log, at random and concurrently: gather,
// scatter, prefetch, read and write ranges, flush, retire; and alone: copy, reset, and commit.
// Whatever they read is compared with a plain model. tools/check.sh --nightly runs it under
// ThreadSanitizer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {
namespace {

constexpr int64_t kDim = 20, kGroups = 12, kGroupClasses = 64, kClasses = kGroups * kGroupClasses;
constexpr int64_t kRows = 24;  // Of a call.

// The state of a class that the store must have. All elements of its row have one value, and so
// have those of its momentum, except for rows that were never written.
struct Class {
  float row = 0, momentum = 0;
  int64_t last_step = -1;
  bool written = false;
};
using Model = std::vector<Class>;

class StoreThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/store_threads_test_", getpid());
    std::filesystem::remove_all(dir_);
    PROTOPAGE_ASSERT_OK(DefaultFileSystem()->CreateDirectories(dir_));
    TableLogOptions log_options;
    log_options.merge_bytes = 1 << 16;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        log_, TableLog::Create(DefaultFileSystem(), dir_ + "/log", log_options));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(store_, PrototypeStore::Create(dir_ + "/w.h5", spec, Options()));
    model_.resize(kClasses);
  }

  PrototypeStoreOptions Options() {
    PrototypeStoreOptions options;
    // A third of the classes: enough for the rows that four threads use and have pinned.
    options.cache_bytes = kClasses / 3 * 300;
    options.log = log_.get();
    return options;
  }

  static bool RowIs(const Class& c, ConstRowMatrixRef row) {
    return c.written ? (row.array() == c.row).all() : std::abs(row.norm() - 1) < 1e-3f;
  }
  static bool StepIs(const Class& c, const StepRows& rows, int64_t i) {
    return RowIs(c, rows.rows.row(i)) && (rows.state.row(i).array() == c.momentum).all() &&
           rows.last_step[i] == c.last_step;
  }
  // Expects `store` to have the content of `model`.
  static void ExpectContent(PrototypeStore* store, const Model& model) {
    StepRows rows;
    for (ClassId id = 0; id < kClasses; ++id) {
      PROTOPAGE_ASSERT_OK(store->GatherStep({id}, &rows));
      ASSERT_TRUE(StepIs(model[id], rows, 0)) << "class " << id;
    }
  }

  // The work of a thread. Calls on distinct groups of classes run concurrently.
  void Work(uint64_t thread, int64_t calls) {
    StepRows rows;
    for (int64_t call = 0; call < calls; ++call) {
      RandomStream random(7, RandomPurpose::kTest, thread * 1'000'000 + call);
      const uint64_t what = random.Below(100);
      if (what == 0) {
        Alone(random);
        continue;
      }
      const ReaderMutexLock together(alone_);
      if (what < 3) {
        PROTOPAGE_EXPECT_OK(store_->Flush());
        continue;
      }
      if (what < 6) {
        PROTOPAGE_EXPECT_OK(log_->Retire(std::max<int64_t>(log_->head().checkpoint - 1, 0)));
        continue;
      }
      const int64_t group = random.Below(kGroups);
      if (what < 20) {
        const MutexLock lock(groups_[group]);
        Range(random, group * kGroupClasses, /*write=*/what < 12);
        continue;
      }
      std::vector<ClassId> ids = SampleWithoutReplacement(random, kGroupClasses, kRows);
      for (ClassId& id : ids) id += group * kGroupClasses;
      PinnedRows pinned;
      if (what < 70) {  // While another thread may change these very rows.
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(pinned, store_->Prefetch(ids));
      }
      const MutexLock lock(groups_[group]);
      PROTOPAGE_EXPECT_OK(store_->GatherStep(ids, &rows));
      pinned.Release();
      for (int64_t i = 0; i < kRows; ++i) EXPECT_TRUE(StepIs(model_[ids[i]], rows, i)) << ids[i];
      if (what < 40) continue;
      const int64_t step = step_++;
      const auto value = static_cast<float>(step % 1'000'000);
      rows.rows.setConstant(value);
      if (what < 50) {
        PROTOPAGE_EXPECT_OK(store_->Scatter(ids, rows.rows));
      } else {
        rows.state.setConstant(value + 1);
        PROTOPAGE_EXPECT_OK(store_->ScatterStep(ids, rows, step));
      }
      for (const ClassId id : ids) {
        Class& c = model_[id];
        c = what < 50 ? Class{value, c.momentum, c.last_step, true}
                      : Class{value, value + 1, step, true};
      }
      if (HasFailure()) return;
    }
  }

  void Range(RandomStream& random, ClassId first, bool write) {
    RowMatrixXf rows(kRows, kDim);
    first += random.Below(kGroupClasses - kRows);
    if (write) {
      const auto value = static_cast<float>(step_++ % 1'000'000);
      rows.setConstant(value);
      PROTOPAGE_EXPECT_OK(store_->WriteRange(first, rows));
      for (int64_t i = 0; i < kRows; ++i) {
        model_[first + i].row = value;
        model_[first + i].written = true;
      }
    }
    PROTOPAGE_EXPECT_OK(store_->ReadRange(first, rows));
    std::vector<ClassState> states(kRows);
    PROTOPAGE_EXPECT_OK(store_->ReadStates(first, absl::MakeSpan(states)));
    for (int64_t i = 0; i < kRows; ++i) {
      const Class& c = model_[first + i];
      EXPECT_TRUE(RowIs(c, rows.row(i)));
      EXPECT_EQ(states[i].written, c.written);
      EXPECT_EQ(states[i].last_step, c.last_step);
    }
  }

  void Alone(RandomStream& random) {
    const WriterMutexLock alone(alone_);
    const uint64_t what = random.Below(8);
    if (what == 0) {
      PROTOPAGE_EXPECT_OK(store_->ResetState());
      for (Class& c : model_) c = {c.row, 0, -1, c.written};
    } else if (what == 1) {
      const std::string copy = dir_ + "/copy.h5";
      PROTOPAGE_EXPECT_OK(store_->SaveCopy(copy));
      PrototypeStoreOptions options;
      options.read_only = true;
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(copy, options));
      ExpectContent(store.get(), model_);
    } else {
      PROTOPAGE_EXPECT_OK(store_->Flush());
      PROTOPAGE_EXPECT_OK(log_->Commit(std::max<int64_t>(log_->head().checkpoint, 0) + 1));
      committed_ = model_;
    }
  }

  std::string dir_;
  std::unique_ptr<TableLog> log_;
  std::unique_ptr<PrototypeStore> store_;
  // Held as a reader by calls that may run concurrently with others, as a writer by those that must
  // not. Acquired before one of groups_.
  SharedMutex alone_;
  // Each guards its group's classes in model_; a call that runs alone needs none. Indexed, so
  // beyond what annotations can say.
  std::array<Mutex, kGroups> groups_;
  Model model_;
  Model committed_ ABSL_GUARDED_BY(alone_);
  std::atomic<int64_t> step_{0};
};

TEST_F(StoreThreadsTest, WhateverRunsAtOnceReadsWhatTheModelHas) {
  constexpr int64_t kCalls = 1500;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] { Work(t, kCalls); });
  }
  for (std::thread& thread : threads) thread.join();
  if (HasFailure()) return;
  ExpectContent(store_.get(), model_);
  EXPECT_GT(log_->stats().rows_merged, 0);
  EXPECT_GT(store_->stats().rows_written, kClasses);  // Rows left the cache.
  const int64_t checkpoint = log_->head().checkpoint;
  ASSERT_GT(checkpoint, 5);
  // As after a crash: nothing of the last interval was flushed or committed.
  store_.reset();
  log_.reset();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      log_, TableLog::Open(DefaultFileSystem(), dir_ + "/log", checkpoint, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(store_, PrototypeStore::Open(dir_ + "/w.h5", Options()));
  const WriterMutexLock alone(alone_);
  ExpectContent(store_.get(), committed_);
}

}  // namespace
}  // namespace protopage
