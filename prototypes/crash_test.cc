// The storage of a short training, with the power failing at each event in turn: prototypes with
// momentum, queues, checkpoints, retirement, a new stage, a rollback. After a failure the newest
// complete checkpoint is found, and a run that resumes from it ends like one that nothing
// interrupts.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 90, kDim = 18, kRowsPerStep = 10;
constexpr int64_t kSteps = 42, kCheckpointSteps = 6, kKeep = 2;
constexpr int64_t kQueueStep = 8, kRangeStep = 15, kResetStep = 20, kRollbackStep = 27;
constexpr char kRun[] = "/run";

struct Content {
  RowMatrixXf rows, momentum;
  std::vector<int64_t> last_step;
  std::vector<ClassId> queues;  // Empty before any were built; -9 for a class without queues.

  friend bool operator==(const Content& a, const Content& b) {
    return a.rows == b.rows && a.momentum == b.momentum && a.last_step == b.last_step &&
           a.queues == b.queues;
  }
};

// The content except for the queues.
absl::StatusOr<Content> ReadStore(PrototypeStore* store) {
  Content content;
  StepRows rows;
  content.rows.resize(kClasses, kDim);
  content.momentum.resize(kClasses, kDim);
  for (ClassId first = 0; first < kClasses; first += kRowsPerStep) {
    std::vector<ClassId> ids(kRowsPerStep);
    std::iota(ids.begin(), ids.end(), first);
    PROTOPAGE_RETURN_IF_ERROR(store->GatherStep(ids, &rows));
    content.rows.middleRows(first, kRowsPerStep) = rows.rows;
    content.momentum.middleRows(first, kRowsPerStep) = rows.state;
    content.last_step.insert(content.last_step.end(), rows.last_step.begin(), rows.last_step.end());
  }
  return content;
}

// The storage of a run whose training follows a simple rule.
class Training {
 public:
  Training(FileSystem* fs, std::map<int64_t, Content>* contents) : fs_(fs), contents_(contents) {}

  // Runs from the newest complete checkpoint, or from the beginning, to the end. Adds each
  // checkpoint's content to `contents`, or compares it with the one that is there.
  absl::Status Go() {
    PROTOPAGE_RETURN_IF_ERROR(fs_->CreateDirectories(JoinPath(kRun, "done")));
    PROTOPAGE_ASSIGN_OR_RETURN(std::vector<int64_t> done, Done());
    int64_t step = 0;
    if (done.empty()) {
      PROTOPAGE_RETURN_IF_ERROR(Begin());
    } else {
      step = done.back();
      PROTOPAGE_RETURN_IF_ERROR(Open(step));
    }
    while (step < kSteps) {
      if (step == kRollbackStep && !fs_->Exists(JoinPath(kRun, "rolled_back"))) {
        // One rollback, to the oldest checkpoint that is kept.
        PROTOPAGE_ASSIGN_OR_RETURN(done, Done());
        while (done.size() > 1) {
          PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(DonePath(done.back())));
          done.pop_back();
        }
        PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(JoinPath(kRun, "done")));
        PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, JoinPath(kRun, "rolled_back"), "1"));
        step = done.back();
        PROTOPAGE_RETURN_IF_ERROR(Open(step));
        continue;
      }
      PROTOPAGE_RETURN_IF_ERROR(Step(step));
      ++step;
      if (step % kCheckpointSteps == 0) PROTOPAGE_RETURN_IF_ERROR(Checkpoint(step));
    }
    return log_->RetireNow(kSteps);
  }

  absl::StatusOr<Content> Read() {
    PROTOPAGE_ASSIGN_OR_RETURN(Content content, ReadStore(store_.get()));
    if (queues_ == nullptr) return content;
    std::vector<ClassId> queue(queues_->dominant_queue()), more(queues_->candidate_queue());
    for (ClassId id = 0; id < kClasses; ++id) {
      const absl::Status status = queues_->Dominants(id, absl::MakeSpan(queue));
      if (absl::IsFailedPrecondition(status)) {
        content.queues.push_back(-9);
        continue;
      }
      PROTOPAGE_RETURN_IF_ERROR(status);
      PROTOPAGE_RETURN_IF_ERROR(queues_->Candidates(id, absl::MakeSpan(more)));
      content.queues.insert(content.queues.end(), queue.begin(), queue.end());
      content.queues.insert(content.queues.end(), more.begin(), more.end());
    }
    return content;
  }

 private:
  std::string StorePath() const { return JoinPath(kRun, "prototypes.h5"); }
  std::string QueuesPath() const { return JoinPath(kRun, "queues.h5"); }
  std::string LogPath() const { return JoinPath(kRun, "log"); }
  std::string DonePath(int64_t step) const {
    return JoinPath(kRun, absl::StrCat("done/", absl::StrFormat("%04d", step)));
  }
  TableLogOptions LogOptions() const {
    TableLogOptions options;
    options.background = false;
    options.merge_bytes = 20000;  // Some merges are of several segments.
    return options;
  }
  PrototypeStoreOptions StoreOptions() const {
    PrototypeStoreOptions options;
    options.cache_bytes = 9000;  // Some 28 rows.
    options.log = log_.get();
    options.file_system = fs_;
    return options;
  }
  ClassQueuesOptions QueuesOptions() const {
    ClassQueuesOptions options;
    options.dominant_queue = 2;
    options.candidate_queue = 5;
    options.cache_bytes = 3000;
    options.log = log_.get();
    options.file_system = fs_;
    return options;
  }
  absl::Status RemoveIfThere(const std::string& path) {
    return fs_->Exists(path) ? fs_->Remove(path) : absl::OkStatus();
  }

  absl::StatusOr<std::vector<int64_t>> Done() {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                               fs_->List(JoinPath(kRun, "done")));
    std::vector<int64_t> steps;
    for (const std::string& name : names) {
      int64_t step;
      if (name.size() == 4 && absl::SimpleAtoi(name, &step)) steps.push_back(step);
    }
    return steps;
  }

  absl::Status Begin() {
    PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(StorePath()));
    PROTOPAGE_ASSIGN_OR_RETURN(log_, TableLog::Create(fs_, LogPath(), LogOptions()));
    PrototypeStoreSpec spec;
    spec.num_classes = kClasses;
    spec.dim = kDim;
    PROTOPAGE_ASSIGN_OR_RETURN(store_, PrototypeStore::Create(StorePath(), spec, StoreOptions()));
    return store_->WriteRange(0, RowMatrixXf::Constant(kClasses / 2, kDim, 0.5f));
  }

  absl::Status Open(int64_t checkpoint) {
    queues_.reset();
    store_.reset();
    log_.reset();
    PROTOPAGE_ASSIGN_OR_RETURN(log_, TableLog::Open(fs_, LogPath(), checkpoint, LogOptions()));
    PROTOPAGE_ASSIGN_OR_RETURN(store_, PrototypeStore::Open(StorePath(), StoreOptions()));
    if (log_->HasTable(1)) {
      PROTOPAGE_ASSIGN_OR_RETURN(queues_, ClassQueues::Open(QueuesPath(), QueuesOptions()));
    }
    return Compare(checkpoint);
  }

  absl::Status Compare(int64_t checkpoint) {
    PROTOPAGE_ASSIGN_OR_RETURN(const Content content, Read());
    const auto known = contents_->try_emplace(checkpoint, content);
    if (known.first->second == content) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("checkpoint ", checkpoint, " has another content"));
  }

  absl::Status Step(int64_t step) {
    RandomStream random(1, RandomPurpose::kTest, step);
    const std::vector<ClassId> ids = SampleWithoutReplacement(random, kClasses, kRowsPerStep);
    if (step == kQueueStep) {
      PROTOPAGE_RETURN_IF_ERROR(RemoveIfThere(QueuesPath()));
      PROTOPAGE_ASSIGN_OR_RETURN(queues_,
                                 ClassQueues::Create(QueuesPath(), kClasses, QueuesOptions()));
    }
    if (step == kRangeStep) {
      PROTOPAGE_RETURN_IF_ERROR(store_->WriteRange(30, RowMatrixXf::Constant(40, kDim, 0.25f)));
    }
    if (step == kResetStep) {
      PROTOPAGE_RETURN_IF_ERROR(store_->ResetState());
      PROTOPAGE_RETURN_IF_ERROR(queues_->Reset());
    }
    StepRows rows;
    PROTOPAGE_RETURN_IF_ERROR(store_->GatherStep(ids, &rows));
    for (int64_t i = 0; i < kRowsPerStep; ++i) {
      for (int64_t j = 0; j < kDim; ++j) {
        rows.state(i, j) = 0.5f * rows.state(i, j) + random.Uniform();
        rows.rows(i, j) -= rows.state(i, j) * (1 + static_cast<float>(rows.last_step[i] & 3));
      }
    }
    PROTOPAGE_RETURN_IF_ERROR(store_->ScatterStep(ids, rows, step));
    if (queues_ == nullptr) return absl::OkStatus();
    PROTOPAGE_RETURN_IF_ERROR(queues_->EnsureBuilt(
        {ids[0], ids[1]}, step,
        [](absl::Span<const ClassId> classes, int64_t k, absl::Span<ClassId> neighbors) {
          for (size_t i = 0; i < classes.size(); ++i) {
            for (int64_t j = 0; j < k; ++j) neighbors[i * k + j] = (classes[i] + j + 1) % kClasses;
          }
          return absl::OkStatus();
        }));
    // Class y is taken for its neighbour after next.
    return queues_->ApplyMistakes(
        {ids[0], (ids[0] + 3) % kClasses, ids[2], (ids[2] + 4) % kClasses}, {0, 2}, {1, 3});
  }

  absl::Status Checkpoint(int64_t step) {
    PROTOPAGE_RETURN_IF_ERROR(store_->Flush());
    if (queues_ != nullptr) PROTOPAGE_RETURN_IF_ERROR(queues_->Flush());
    PROTOPAGE_RETURN_IF_ERROR(log_->Commit(step));
    PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, DonePath(step), "done"));
    PROTOPAGE_RETURN_IF_ERROR(Compare(step));
    PROTOPAGE_ASSIGN_OR_RETURN(std::vector<int64_t> done, Done());
    while (static_cast<int64_t>(done.size()) > kKeep) {
      PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(DonePath(done.front())));
      done.erase(done.begin());
    }
    PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(JoinPath(kRun, "done")));
    return log_->Retire(done.front());
  }

  FileSystem* const fs_;
  std::map<int64_t, Content>* const contents_;
  std::unique_ptr<TableLog> log_;
  std::unique_ptr<PrototypeStore> store_;
  std::unique_ptr<ClassQueues> queues_;
};

class PrototypesCrashTest : public testing::Test {
 protected:
  // The contents of a run that nothing interrupts, and the number of its events.
  static void SetUpTestSuite() {
    CrashFileSystem fs;
    fs.CrashAt(0, kWriteEvery);
    Training run(&fs, &Contents());
    PROTOPAGE_ASSERT_OK(run.Go());
    events_ = fs.events();
    ASSERT_EQ(Contents().size(), kSteps / kCheckpointSteps);
    ASSERT_FALSE(Contents().at(12) == Contents().at(18));
  }
  static std::map<int64_t, Content>& Contents() {
    static auto* contents = new std::map<int64_t, Content>;
    return *contents;
  }

  // A reader of the main file alone finds it marked as being written, or equal to a checkpoint.
  static void ExpectMainFileIsACheckpoint(CrashFileSystem* fs) {
    PrototypeStoreOptions options;
    options.read_only = true;
    options.file_system = fs;
    const std::string path = JoinPath(kRun, "prototypes.h5");
    // Before the first checkpoint the file may be incomplete.
    const auto file = fs->Open(path, OpenMode::kRead);
    if (!file.ok()) return;
    const auto layout = ReadHdf5Layout(file->get(), path);
    if (!layout.ok()) return;
    std::array<uint64_t, 2> header;
    PROTOPAGE_ASSERT_OK(
        (*file)->ReadAt(layout->Find("header")->offset, header.data(), sizeof(header)));
    if (header[0] != 0 || header[1] == 0) return;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(path, options));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Content content, ReadStore(store.get()));
    const bool known = std::any_of(Contents().begin(), Contents().end(), [&](const auto& entry) {
      return entry.second.rows == content.rows && entry.second.momentum == content.momentum &&
             entry.second.last_step == content.last_step;
    });
    ASSERT_TRUE(known);
  }

  // The power fails `crashes` times, first at `event`, then at events drawn by the seed.
  static void RunThroughCrashes(int64_t event, int crashes, CrashFileSystem::Loss loss,
                                uint64_t seed) {
    CrashFileSystem fs;
    RandomStream random(seed, RandomPurpose::kTest, event);
    for (int crash = 0; crash < crashes; ++crash) {
      fs.CrashAt(crash == 0 ? event : 1 + random.Below(crash < crashes / 2 ? 12 : 100),
                 kWriteEvery);
      Training run(&fs, &Contents());
      const absl::Status status = run.Go();
      if (status.ok()) break;  // The run ended before the event.
      ASSERT_TRUE(fs.crashed()) << "event " << event << ", seed " << seed << ": " << status;
      fs.Restart(loss, seed);
      ExpectMainFileIsACheckpoint(&fs);
      if (HasFatalFailure()) return;
    }
    fs.CrashAt(0);
    Training run(&fs, &Contents());
    PROTOPAGE_ASSERT_OK(run.Go()) << "event " << event << ", seed " << seed;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Content content, run.Read());
    ASSERT_TRUE(content == Contents().at(kSteps)) << "event " << event << ", seed " << seed;
  }

  static constexpr int64_t kWriteEvery = 7;
  static int64_t events_;
};

int64_t PrototypesCrashTest::events_ = 0;

// The number of seeds that random tests are repeated with.
int Runs() {
  const char* runs = std::getenv("PROTOPAGE_CRASH_RUNS");
  return runs == nullptr ? 1 : std::max(1, std::atoi(runs));
}

TEST_F(PrototypesCrashTest, AtEveryEventNothingUnsyncedSurvives) {
  EXPECT_GT(events_, 150);
  for (int64_t event = 1; event <= events_; ++event) {
    RunThroughCrashes(event, 1, CrashFileSystem::kDropAll, 0);
    if (HasFatalFailure()) return;
  }
}

TEST_F(PrototypesCrashTest, AtEveryEventAllSurvives) {
  for (int64_t event = 1; event <= events_; ++event) {
    RunThroughCrashes(event, 1, CrashFileSystem::kKeepAll, 0);
    if (HasFatalFailure()) return;
  }
}

TEST_F(PrototypesCrashTest, AtEveryEventOnlyTheNewestWritesSurvive) {
  for (int64_t event = 1; event <= events_; ++event) {
    RunThroughCrashes(event, 1, CrashFileSystem::kKeepNewest, 0);
    if (HasFatalFailure()) return;
  }
}

TEST_F(PrototypesCrashTest, AtEveryEventAMixSurvives) {
  for (int seed = 0; seed < Runs(); ++seed) {
    for (int64_t event = 1; event <= events_; ++event) {
      RunThroughCrashes(event, 1, CrashFileSystem::kMix, seed);
      if (HasFatalFailure()) return;
    }
  }
}

// A failed sync ends the run, unless it is one of the cache's writer thread that the next flush
// repeats before a call has reported it. Resumed on the same machine, the run ends as it should,
// and the power may fail afterwards.
TEST_F(PrototypesCrashTest, ASyncThatFailsLosesNothing) {
  int64_t sync = 0;
  for (bool failed = true; failed;) {
    ++sync;
    CrashFileSystem fs;
    fs.CrashAt(0);
    fs.FailSyncAt(sync);
    {
      Training run(&fs, &Contents());
      const absl::Status status = run.Go();
      failed = fs.sync_failed();
      if (!status.ok()) {
        ASSERT_TRUE(failed) << status;
        ASSERT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "injected failure"));
      }
    }
    fs.FailSyncAt(0);
    {
      Training run(&fs, &Contents());
      PROTOPAGE_ASSERT_OK(run.Go()) << "sync " << sync;
    }
    fs.Restart(CrashFileSystem::kDropAll, 0);
    Training run(&fs, &Contents());
    PROTOPAGE_ASSERT_OK(run.Go()) << "sync " << sync;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Content content, run.Read());
    ASSERT_TRUE(content == Contents().at(kSteps)) << "sync " << sync;
  }
  EXPECT_GT(sync, 50);
}

// The same for a merge that clears a column: in parts of the file, it writes no row.
TEST_F(PrototypesCrashTest, AClearedColumnIsClearedAfterASyncThatFailed) {
  constexpr int64_t kManyClasses = 1000;  // Several blocks of the file.
  const std::string path = JoinPath(kRun, "prototypes.h5"), log_path = JoinPath(kRun, "log");
  int64_t sync = 0;
  for (bool failed = true; failed;) {
    ++sync;
    CrashFileSystem fs;
    int64_t committed = 0;
    // Opens the last commit and does the rest.
    const auto go = [&](bool read, StepRows* rows) -> absl::Status {
      TableLogOptions log_options;
      log_options.background = false;
      PROTOPAGE_RETURN_IF_ERROR(fs.CreateDirectories(kRun));
      PROTOPAGE_RETURN_IF_ERROR(fs.SyncDirectory("/"));
      PROTOPAGE_ASSIGN_OR_RETURN(
          const auto log, committed == 0 ? TableLog::Create(&fs, log_path, log_options)
                                         : TableLog::Open(&fs, log_path, committed, log_options));
      PrototypeStoreOptions options;
      options.file_system = &fs;
      options.log = log.get();
      PrototypeStoreSpec spec;
      spec.num_classes = kManyClasses;
      spec.dim = kDim;
      if (committed == 0 && fs.Exists(path)) PROTOPAGE_RETURN_IF_ERROR(fs.Remove(path));
      PROTOPAGE_ASSIGN_OR_RETURN(const auto store, committed == 0
                                                       ? PrototypeStore::Create(path, spec, options)
                                                       : PrototypeStore::Open(path, options));
      if (read) return store->GatherStep({1, 999}, rows);
      while (committed < 2) {
        PROTOPAGE_RETURN_IF_ERROR(store->GatherStep({1, 999}, rows));
        rows->state.setOnes();
        if (committed == 1) PROTOPAGE_RETURN_IF_ERROR(store->ResetState());
        rows->rows.conservativeResize(committed == 0 ? 2 : 1, kDim);
        rows->state.conservativeResize(committed == 0 ? 2 : 1, kDim);
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
  const std::string path = JoinPath(kRun, "prototypes.h5");
  const std::string copy = JoinPath(kRun, "copy.h5");
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
      spec.num_classes = kClasses;
      spec.dim = kDim;
      std::vector<Content> flushed;
      bool copied = false;
      const auto work = [&]() -> absl::Status {
        PROTOPAGE_RETURN_IF_ERROR(fs.CreateDirectories(kRun));
        PROTOPAGE_RETURN_IF_ERROR(fs.SyncDirectory("/"));
        fs.CrashAt(event, /*write_every=*/3);
        PROTOPAGE_ASSIGN_OR_RETURN(const auto store, PrototypeStore::Create(path, spec, options));
        for (int64_t step = 0; step < 4; ++step) {
          PROTOPAGE_ASSIGN_OR_RETURN(Content content, ReadStore(store.get()));
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
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Content content, ReadStore(store.get()));
        ASSERT_TRUE(std::find(flushed.begin(), flushed.end(), content) != flushed.end());
      }
      if (copied) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto saved, PrototypeStore::Open(copy, options));
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Content content, ReadStore(saved.get()));
        ASSERT_TRUE(content == flushed.back());
      }
    }
  }
  EXPECT_GT(clean, 20);
  EXPECT_GT(marked, 20);
}

TEST_F(PrototypesCrashTest, AgainAndAgainAlsoWhileItRecovers) {
  for (int seed = 0; seed < Runs(); ++seed) {
    for (int64_t event = 1; event <= events_; event += 2) {
      RunThroughCrashes(event, 8, CrashFileSystem::kMix, 1000 + seed);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace protopage
