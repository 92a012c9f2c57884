// The storage of a short training (testing/stored_training.h), with the power failing at each event
// in turn. What was reported durable is there afterwards: a checkpoint, a file that was created, a
// merge. A run that resumes ends like one that nothing interrupts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/prototypes/testing/crash_file_system.h"
#include "protopage/prototypes/testing/crash_scenario.h"
#include "protopage/prototypes/testing/stored_training.h"

namespace protopage {
namespace {

constexpr int64_t kWriteEvery = 7;

class PrototypesCrashTest : public testing::Test {
 protected:
  // The contents of a run that nothing interrupts, and the number of its events.
  static void SetUpTestSuite() {
    PowerFailureOptions options;
    options.events = &events_;
    options.write_every = kWriteEvery;
    PROTOPAGE_ASSERT_OK(RunThroughPowerFailures(Make(), {}, options));
    ASSERT_EQ(Contents().size(), StoredTraining::kSteps / StoredTraining::kCheckpointSteps);
    ASSERT_FALSE(Contents().at(12) == Contents().at(18));
    ASSERT_GT(events_, 150);
  }
  static StoredContents& Contents() {
    static auto* contents = new StoredContents;
    return *contents;
  }
  static MakeCrashScenario Make() {
    return [] { return std::make_unique<StoredTraining>(&Contents()); };
  }

  static void RunThrough(const std::vector<PowerFailure>& failures) {
    PowerFailureOptions options;
    options.write_every = kWriteEvery;
    PROTOPAGE_ASSERT_OK(RunThroughPowerFailures(Make(), failures, options))
        << "event " << failures[0].event << ", seed " << failures[0].seed;
  }
  // The power fails at each event, and after the last one.
  static void RunThroughEachEvent(CrashFileSystem::Loss loss, uint64_t seed) {
    for (int64_t event = 1; event <= events_ + 1; ++event) {
      RunThrough({{event, loss, 1000 * seed + event}});
      if (HasFatalFailure()) return;
    }
  }

  static int64_t events_;
};

int64_t PrototypesCrashTest::events_ = 0;

// The number of seeds that random tests are repeated with.
int Runs() {
  const char* runs = std::getenv("PROTOPAGE_CRASH_RUNS");
  return runs == nullptr ? 1 : std::max(1, std::atoi(runs));
}

TEST_F(PrototypesCrashTest, AtEveryEventNothingUnsyncedSurvives) {
  RunThroughEachEvent(CrashFileSystem::kDropAll, 0);
}

TEST_F(PrototypesCrashTest, AtEveryEventAllSurvives) {
  RunThroughEachEvent(CrashFileSystem::kKeepAll, 0);
}

TEST_F(PrototypesCrashTest, AtEveryEventOnlyTheNewestWritesSurvive) {
  RunThroughEachEvent(CrashFileSystem::kKeepNewest, 0);
}

TEST_F(PrototypesCrashTest, AtEveryEventAMixSurvives) {
  for (int seed = 0; seed < Runs(); ++seed) {
    RunThroughEachEvent(CrashFileSystem::kMix, seed);
    if (HasFatalFailure()) return;
  }
}

// A failed sync ends the run, unless it is one of the cache's writer thread that the next flush
// repeats before a call has reported it. Resumed on the same machine, the run ends as it should,
// and the power may fail afterwards.
TEST_F(PrototypesCrashTest, ASyncThatFailsLosesNothing) {
  int64_t sync = 0;
  for (bool came = true; came;) {
    ++sync;
    PROTOPAGE_ASSERT_OK(RunThroughFailedSync(Make(), sync, &came)) << "sync " << sync;
  }
  EXPECT_GT(sync, 50);
}

// The same for a merge that clears a column: in parts of the file, it writes no row.
TEST_F(PrototypesCrashTest, AClearedColumnIsClearedAfterASyncThatFailed) {
  constexpr int64_t kManyClasses = 1000;  // Several blocks of the file.
  const std::string path = "/run/prototypes.h5", log_path = "/run/log";
  int64_t sync = 0;
  for (bool failed = true; failed;) {
    ++sync;
    CrashFileSystem fs;
    int64_t committed = 0;
    // Opens the last commit and does the rest.
    const auto go = [&](bool read, StepRows* rows) -> absl::Status {
      TableLogOptions log_options;
      log_options.background = false;
      PROTOPAGE_RETURN_IF_ERROR(fs.CreateDirectories("/run"));
      PROTOPAGE_RETURN_IF_ERROR(fs.SyncDirectory("/"));
      PROTOPAGE_ASSIGN_OR_RETURN(
          const auto log, committed == 0 ? TableLog::Create(&fs, log_path, log_options)
                                         : TableLog::Open(&fs, log_path, committed, log_options));
      PrototypeStoreOptions options;
      options.file_system = &fs;
      options.log = log.get();
      PrototypeStoreSpec spec;
      spec.num_classes = kManyClasses;
      spec.dim = 18;
      if (committed == 0 && fs.Exists(path)) PROTOPAGE_RETURN_IF_ERROR(fs.Remove(path));
      PROTOPAGE_ASSIGN_OR_RETURN(const auto store, committed == 0
                                                       ? PrototypeStore::Create(path, spec, options)
                                                       : PrototypeStore::Open(path, options));
      if (read) return store->GatherStep({1, 999}, rows);
      while (committed < 2) {
        PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({1, 999}, rows));
        rows->state.setOnes();
        if (committed == 1) PROTOPAGE_RETURN_IF_ERROR(store->ResetState());
        rows->rows.conservativeResize(committed == 0 ? 2 : 1, 18);
        rows->state.conservativeResize(committed == 0 ? 2 : 1, 18);
        PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep(
            absl::MakeConstSpan({ClassId{1}, ClassId{999}}).subspan(0, rows->rows.rows()), *rows,
            committed));
        PROTOPAGE_RETURN_IF_ERROR(store->Flush());
        PROTOPAGE_RETURN_IF_ERROR(log->Commit(committed + 1));
        ++committed;
      }
      return log->RetireNow(2);
    };
    StepRows rows;
    fs.FailSyncAt(sync);
    failed = !go(false, &rows).ok();
    fs.FailSyncAt(0);
    PROTOPAGE_ASSERT_OK(go(false, &rows)) << "sync " << sync;
    fs.Restart(CrashFileSystem::kDropAll, 0);
    PROTOPAGE_ASSERT_OK(go(true, &rows)) << "sync " << sync;
    EXPECT_EQ(rows.last_step, (std::vector<int64_t>{1, -1})) << "sync " << sync;
    EXPECT_TRUE((rows.state.row(0).array() == 1).all()) << "sync " << sync;
    EXPECT_TRUE((rows.state.row(1).array() == 0).all()) << "sync " << sync;
  }
  EXPECT_GT(sync, 10);
}

// A store without a log promises less: after a crash it has the content of the last flush, or says
// that rows may be mixed.
TEST_F(PrototypesCrashTest, WithoutALogAFileThatIsCleanIsAsFlushed) {
  const std::string path = "/run/prototypes.h5";
  const std::string copy = "/run/copy.h5";
  int64_t clean = 0, marked = 0;
  // All kinds of loss, and mixes by several seeds, so that the header survives without the rows.
  for (int variant = 0; variant < 12; ++variant) {
    const auto loss =
        static_cast<CrashFileSystem::Loss>(std::min<int>(variant, CrashFileSystem::kMix));
    bool done = false;
    for (int64_t event = 1; !done; ++event) {
      SCOPED_TRACE(absl::StrCat("variant ", variant, ", event ", event));
      CrashFileSystem fs;
      PrototypeStoreOptions options;
      options.file_system = &fs;
      PrototypeStoreSpec spec;
      spec.num_classes = 90;
      spec.dim = 18;
      std::vector<StoredContent> flushed;
      bool copied = false;
      const auto work = [&]() -> absl::Status {
        PROTOPAGE_RETURN_IF_ERROR(fs.CreateDirectories("/run"));
        PROTOPAGE_RETURN_IF_ERROR(fs.SyncDirectory("/"));
        fs.CrashAt(event, /*write_every=*/3);
        PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Create(path, spec, options));
        for (int64_t step = 0; step < 4; ++step) {
          PROTOPAGE_ASSIGN_OR_RETURN(StoredContent content, ReadStore(store.get()));
          flushed.push_back(content);  // From now on a clean file holds this,
          StepRows rows;
          PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({3 * step, 50, 89}, &rows));
          rows.rows.array() += 1;
          rows.state.array() += 1;
          PROTOPAGE_RETURN_IF_ERROR(store->ScatterStep({3 * step, 50, 89}, rows, step));
          PROTOPAGE_ASSIGN_OR_RETURN(content, ReadStore(store.get()));
          flushed.push_back(content);  // or this, while it is flushed,
          PROTOPAGE_RETURN_IF_ERROR(store->Flush());
          flushed.assign(1, content);  // and then this only.
        }
        PROTOPAGE_RETURN_IF_ERROR(store->SaveCopy(copy));
        copied = true;
        return absl::OkStatus();
      };
      done = work().ok();
      fs.Restart(loss, variant);
      options.read_only = true;
      if (flushed.empty()) continue;  // The file was not complete yet; HDF5 may crash on it.
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
      const bool is_clean = store->clean_when_opened();
      ++(is_clean ? clean : marked);
      // Between the two calls the file is clean.
      if (flushed.size() == 1) {
        ASSERT_TRUE(is_clean || !done);
      }
      if (is_clean) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoredContent content, ReadStore(store.get()));
        ASSERT_TRUE(std::find(flushed.begin(), flushed.end(), content) != flushed.end());
      }
      if (copied) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto saved, PrototypeStore::Open(copy, options));
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoredContent content, ReadStore(saved.get()));
        ASSERT_TRUE(content == flushed.back());
      }
    }
  }
  EXPECT_GT(clean, 20);
  EXPECT_GT(marked, 20);
}

// Linux reports a failed sync once. The next flush must not take the rows for durable that the
// failed one has lost, nor a file for clean that is being written.
TEST_F(PrototypesCrashTest, WithoutALogNoFlushSucceedsAfterASyncThatFailed) {
  const std::string path = "/w.h5";
  int64_t sync = 0, refused = 0;
  for (bool failed = true; failed;) {
    SCOPED_TRACE(absl::StrCat("sync ", ++sync));
    CrashFileSystem fs;
    PrototypeStoreOptions options;
    options.file_system = &fs;
    PrototypeStoreSpec spec;
    spec.num_classes = 90;
    spec.capacity = 100;
    spec.dim = 18;
    // Of the last call that returned OK.
    StoredContent flushed;
    bool open = false;  // Rows were written since.
    int64_t classes = 90;
    {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Create(path, spec, options));
      fs.FailSyncAt(sync);
      // Calls that fail are repeated once.
      const auto twice = [&](const auto& call) { return call().ok() || call().ok(); };
      for (int64_t step = 0; step < 3; ++step) {
        StepRows rows;
        PROTOPAGE_ASSERT_OK(store->GatherStep({step, 50, 89}, &rows));
        rows.rows.array() += 1;
        if (!store->ScatterStep({step, 50, 89}, rows, step).ok()) break;
        open = true;
        if (!twice([&] { return store->Flush(); })) continue;
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(flushed, ReadStore(store.get()));
        open = false;
      }
      const RowMatrixXf added = RowMatrixXf::Constant(2, 18, 0.5f);
      if (store->AppendRows(added).ok() && twice([&] { return store->AddAppended(); })) {
        classes = 92;
      }
      failed = fs.sync_failed();
      refused += failed && !store->Flush().ok() ? 1 : 0;
    }
    fs.FailSyncAt(0);
    fs.Restart(CrashFileSystem::kDropAll, 0);
    options.read_only = true;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
    EXPECT_TRUE(!open || !store->clean_when_opened() || flushed.rows.rows() == 0);
    EXPECT_GE(store->num_classes(), classes);
    if (store->clean_when_opened() && flushed.rows.rows() > 0) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StoredContent content, ReadStore(store.get()));
      EXPECT_TRUE(content == flushed);
    }
    if (store->num_classes() == 92) {
      RowMatrixXf added(2, 18);
      PROTOPAGE_ASSERT_OK(store->ReadRange(90, added));
      EXPECT_EQ(added, RowMatrixXf::Constant(2, 18, 0.5f));
    }
  }
  EXPECT_GT(sync, 8);
  EXPECT_GT(refused, 5);
}

// A mark that was not made durable, as its sync failed, is made so before the first change of those
// who open the file again.
TEST_F(PrototypesCrashTest, WithoutALogAMarkIsMadeDurableByThoseWhoOpenTheFileAgain) {
  const RowMatrixXf row = RowMatrixXf::Constant(1, 18, 0.5f);
  int64_t unclean = 0;
  for (int64_t event = 1; event <= 4; ++event) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      SCOPED_TRACE(absl::StrCat("event ", event, ", seed ", seed));
      CrashFileSystem fs;
      PrototypeStoreOptions options;
      options.file_system = &fs;
      PrototypeStoreSpec spec;
      spec.num_classes = 90;
      spec.dim = 18;
      {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                       PrototypeStore::Create("/w.h5", spec, options));
        fs.FailSyncAt(1);
        PROTOPAGE_ASSERT_OK(store->Scatter({1}, row));
        EXPECT_THAT(store->Flush(), StatusIs(absl::StatusCode::kUnavailable, "injected failure"));
      }
      bool flushed;
      {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open("/w.h5", options));
        PROTOPAGE_ASSERT_OK(store->Scatter({2, 60}, row.replicate(2, 1)));
        fs.CrashAt(event);
        flushed = store->Flush().ok();
      }
      fs.Restart(seed == 0 ? CrashFileSystem::kKeepNewest : CrashFileSystem::kMix, seed);
      options.read_only = true;
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open("/w.h5", options));
      unclean += store->clean_when_opened() ? 0 : 1;
      if (!store->clean_when_opened()) continue;
      // All of the flush, or nothing of it.
      RowMatrixXf first(1, 18), second(1, 18);
      PROTOPAGE_ASSERT_OK(store->ReadRange(2, first));
      PROTOPAGE_ASSERT_OK(store->ReadRange(60, second));
      EXPECT_EQ(first == row, second == row);
      EXPECT_TRUE(!flushed || first == row);
    }
  }
  EXPECT_GT(unclean, 10);
}

// Eight failures, half of them soon after the one before, while the run recovers.
TEST_F(PrototypesCrashTest, AgainAndAgainAlsoWhileItRecovers) {
  for (int seed = 0; seed < Runs(); ++seed) {
    for (int64_t event = 1; event <= events_; event += 2) {
      RandomStream random(1000 + seed, RandomPurpose::kTest, event);
      std::vector<PowerFailure> failures;
      for (int i = 0; i < 8; ++i) {
        const int64_t at = i == 0 ? event : 1 + random.Below(i < 4 ? 12 : 100);
        failures.push_back({at, CrashFileSystem::kMix, random.Next64()});
      }
      RunThrough(failures);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace protopage
