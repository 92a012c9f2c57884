#include "protopage/trainer/session/prototype_set.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/forwarding_file_system.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

std::string NewDirectory(const std::string& name) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/prototype_set_test_", getpid(), "_", name);
  PROTOPAGE_EXPECT_OK(DefaultFileSystem()->CreateDirectories(path));
  return path;
}

PrototypeSetOptions Options() {
  PrototypeSetOptions options;
  options.selection.dominant_queue = 3;
  options.selection.candidate_queue = 6;
  options.prototypes.index_update_steps = 2;
  options.prototypes.reencode_below = 1.1;  // Always.
  options.seed = 9;
  return options;
}

// Moves the row of class 0 onto that of `target`.
void MoveOnto(PrototypeSet& set, ClassId target, int64_t step) {
  StepRows rows;
  PROTOPAGE_ASSERT_OK(set.store().GatherStep({0, target}, &rows));
  rows.rows.row(0) = rows.rows.row(1);
  PROTOPAGE_ASSERT_OK(set.store().ScatterStep({0, target}, rows, step));
}

TEST(PrototypeSetTest, TheExampleOfTheHeader) {
  ThreadPool pool(1);
  const std::string run_path = NewDirectory("example"), folder = NewDirectory("example_checkpoint");
  const PrototypeSetOptions options = Options();
  const std::vector<ClassId> classes = {3, 5};
  constexpr int64_t dim = 16;
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto set, PrototypeSet::Create(run_path, 1000, dim, options, &pool));
    EXPECT_EQ(set->dominants(), nullptr);
    PROTOPAGE_RETURN_IF_ERROR(set->BeginStage());  // Builds the index.
    EXPECT_NE(set->dominants(), nullptr);
    set->NoteTrained(classes);
    PROTOPAGE_RETURN_IF_ERROR(set->UpdateIndex());
    PROTOPAGE_RETURN_IF_ERROR(set->SaveCheckpoint(folder));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  PROTOPAGE_EXPECT_OK(PrototypeSet::Restore(run_path, folder, options, &pool).status());
}

TEST(PrototypeSetTest, TheIndexLearnsOfTrainedRows) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto set, PrototypeSet::Create(NewDirectory("index"), 40, 16, Options(), &pool));
  EXPECT_EQ(set->dominants(), nullptr);
  PROTOPAGE_ASSERT_OK(set->BeginStage());
  MoveOnto(*set, 7, 0);
  set->NoteTrained({0, 7});
  EXPECT_EQ(set->unindexed().size(), 2u);
  PROTOPAGE_ASSERT_OK(set->UpdateIndex());
  EXPECT_TRUE(set->unindexed().empty());
  // Queues are built now, from the moved row: 7 is the nearest to 0 and the other way round.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                 set->dominants()->Dominants(2, {0, 7}));
  ASSERT_EQ(dominants.size(), 6u);
  EXPECT_EQ(dominants[0], 7);
  EXPECT_EQ(dominants[3], 0);
}

TEST(PrototypeSetTest, ModeNearestFollowsTheRowsWithoutQueues) {
  ThreadPool pool(1);
  PrototypeSetOptions options = Options();
  options.selection.mode = "nearest";
  const std::string directory = NewDirectory("nearest"), folder = NewDirectory("checkpoint");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Create(directory, 40, 16, options, &pool));
    PROTOPAGE_ASSERT_OK(set->BeginStage());
    EXPECT_EQ(set->index_update_steps(), 1);
    for (const ClassId target : {7, 8}) {
      MoveOnto(*set, target, target);
      set->NoteTrained({0, target});
      PROTOPAGE_ASSERT_OK(set->UpdateIndex());
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                     set->dominants()->Dominants(target, {0}));
      EXPECT_EQ(dominants[0], target);
    }
    PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Restore(directory, folder, options, &pool));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                 set->dominants()->Dominants(9, {0}));
  EXPECT_EQ(dominants[0], 8);
}

TEST(PrototypeSetTest, FrozenQueuesAreThoseOfTheFirstRows) {
  ThreadPool pool(1);
  PrototypeSetOptions options = Options();
  options.selection.frozen_queues = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto set, PrototypeSet::Create(NewDirectory("frozen"), 40, 16, options, &pool));
  PROTOPAGE_ASSERT_OK(set->BeginStage());
  EXPECT_EQ(set->queue_stats().built, 40);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> before,
                                 set->dominants()->Dominants(0, {0}));
  const ClassId other = before.back() == 7 ? 8 : 7;
  MoveOnto(*set, other, 0);
  set->NoteTrained({0, other});
  PROTOPAGE_ASSERT_OK(set->UpdateIndex());
  PROTOPAGE_ASSERT_OK(set->dominants()->ApplyMistakes({0, other}, {0}, {1}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> after,
                                 set->dominants()->Dominants(5000, {0}));
  EXPECT_EQ(after, before);
}

TEST(PrototypeSetTest, ACheckpointBringsBackRowsQueuesAndIndex) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("live"), folder = NewDirectory("checkpoint");
  std::vector<ClassId> expected;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Create(directory, 40, 16, Options(), &pool));
    PROTOPAGE_ASSERT_OK(set->BeginStage());
    PROTOPAGE_ASSERT_OK(set->dominants()->Dominants(0, {1}));
    MoveOnto(*set, 7, 0);
    set->NoteTrained({0, 7});
    PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
    // What follows the checkpoint is forgotten.
    MoveOnto(*set, 8, 1);
    PROTOPAGE_ASSERT_OK(set->UpdateIndex());
    PROTOPAGE_ASSERT_OK(set->Flush());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Restore(directory, folder, Options(), &pool));
  set->set_unindexed({0, 7});
  RowMatrixXf rows(2, 16);
  PROTOPAGE_ASSERT_OK(set->store().Gather({0, 7}, rows));
  EXPECT_EQ(rows.row(0), rows.row(1));
  PROTOPAGE_ASSERT_OK(set->UpdateIndex());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                 set->dominants()->Dominants(1, {0}));
  EXPECT_EQ(dominants[0], 7);
  EXPECT_EQ(set->queue_stats().built, 1);  // Class 1's queue came back with the checkpoint.
}

TEST(PrototypeSetTest, AnIndexInListsComesBackWithACheckpoint) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("ivf"), folder = NewDirectory("ivf_checkpoint");
  PrototypeSetOptions options = Options();
  options.prototypes.index = "ivf_pq";
  options.prototypes.index_lists = 12;
  options.prototypes.index_probes = 5;
  std::vector<ClassId> expected;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Create(directory, 300, 16, options, &pool));
    EXPECT_THAT(set->EstimateIndexRecall(0),
                StatusIs(absl::StatusCode::kFailedPrecondition, "before BeginStage"));
    PROTOPAGE_ASSERT_OK(set->BeginStage());
    EXPECT_EQ(set->index_stats().kind, "ivf_pq");
    EXPECT_EQ(set->index_stats().lists, 12);
    EXPECT_EQ(set->index_stats().probes, 5);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RecallEstimate recall, set->EstimateIndexRecall(0));
    EXPECT_EQ(recall.queries, 16);
    EXPECT_GT(recall.recall(), 0.5);  // Of random rows, which have no structure.
    MoveOnto(*set, 7, 0);
    set->NoteTrained({0, 7});
    PROTOPAGE_ASSERT_OK(set->UpdateIndex());
    PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(expected, set->dominants()->Dominants(2, {0, 50, 200}));
    EXPECT_EQ(expected[0], 7);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Restore(directory, folder, options, &pool));
  EXPECT_EQ(set->index_stats().kind, "ivf_pq");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                 set->dominants()->Dominants(2, {0, 50, 200}));
  EXPECT_EQ(dominants, expected);
}

// What a checkpoint does not write again is that of the one before, which may be gone.
TEST(PrototypeSetTest, LaterCheckpointsHoldTheChangesOfTheIndexOnly) {
  ThreadPool pool(1);
  FileSystem* fs = DefaultFileSystem();
  const std::string directory = NewDirectory("links");
  PrototypeSetOptions options = Options();
  options.prototypes.index = "ivf_sq8";
  std::vector<std::string> folders;
  std::vector<ClassId> expected;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Create(directory, 2000, 16, options, &pool));
    PROTOPAGE_ASSERT_OK(set->BeginStage());
    for (int i = 0; i < 4; ++i) {
      if (i == 3) {  // So many changes that the index is saved whole again.
        RowMatrixXf rows(400, 16);
        PROTOPAGE_ASSERT_OK(set->store().ReadRange(1000, rows));
        PROTOPAGE_ASSERT_OK(set->store().WriteRange(100, rows));
        std::vector<ClassId> ids(400);
        std::iota(ids.begin(), ids.end(), 100);
        set->NoteTrained(ids);
      } else {
        MoveOnto(*set, 10 + i, i);  // Class 0.
        set->NoteTrained({0, 10 + i});
      }
      PROTOPAGE_ASSERT_OK(set->UpdateIndex());
      folders.push_back(NewDirectory(absl::StrCat("links_", i)));
      PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folders[i]));
      EXPECT_EQ(fs->Exists(JoinPath(folders[i], "index-changes.bin")), i == 1 || i == 2) << i;
      if (i == 2) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(expected, set->dominants()->Dominants(2, {0, 1, 2, 50}));
        EXPECT_TRUE(expected[0] >= 10 && expected[0] <= 12) << expected[0];
      }
    }
  }
  // The first ones are removed, as a run does.
  for (int i = 0; i < 2; ++i) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, fs->List(folders[i]));
    for (const std::string& name : names)
      PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(folders[i], name)));
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Restore(directory, folders[2], options, &pool));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                   set->dominants()->Dominants(2, {0, 1, 2, 50}));
    EXPECT_EQ(dominants, expected);
    // And it goes on from there.
    MoveOnto(*set, 13, 3);
    set->NoteTrained({0, 13});
    PROTOPAGE_ASSERT_OK(set->UpdateIndex());
    const std::string folder = NewDirectory("links_4");
    PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
    EXPECT_TRUE(fs->Exists(JoinPath(folder, "index-changes.bin")));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(expected, set->dominants()->Dominants(3, {13, 300, 301}));
    folders.push_back(folder);
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Restore(directory, folders[4], options, &pool));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<ClassId> dominants,
                                 set->dominants()->Dominants(3, {13, 300, 301}));
  EXPECT_EQ(dominants, expected);
  EXPECT_TRUE(dominants[0] == 0 || (dominants[0] >= 10 && dominants[0] <= 12)) << dominants[0];
}

TEST(PrototypeSetTest, ReadOnlyOpensTheCheckpointItself) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("origin"), folder = NewDirectory("read_only");
  // The run goes on meanwhile.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto run,
                                 PrototypeSet::Create(directory, 5, 4, Options(), &pool));
  RowMatrixXf rows = RowMatrixXf::Constant(1, 4, 2);
  PROTOPAGE_ASSERT_OK(run->store().Scatter({0}, rows));
  PROTOPAGE_ASSERT_OK(run->SaveCheckpoint(folder));
  PROTOPAGE_ASSERT_OK(run->store().Scatter({0}, RowMatrixXf::Zero(1, 4)));
  PROTOPAGE_ASSERT_OK(run->SaveCheckpoint(NewDirectory("read_only_later")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::OpenReadOnly(directory, folder, Options(), &pool));
  RowMatrixXf read(1, 4);
  PROTOPAGE_ASSERT_OK(set->store().Gather({0}, read));
  EXPECT_EQ(read, rows);
  EXPECT_THAT(set->store().Scatter({0}, rows),
              StatusIs(absl::StatusCode::kFailedPrecondition, "read-only"));
}

TEST(PrototypeSetTest, ANewSetStartsFromAStoreByItself) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("init_from"), folder = NewDirectory("init_checkpoint");
  PrototypeSetOptions options = Options();
  options.prototypes.init_from = directory + "/store.h5";
  options.prototypes.row_state = "adagrad";
  RowMatrixXf rows(40, 16);
  {
    PrototypeStoreSpec spec;
    spec.num_classes = 40;
    spec.capacity = 50;
    spec.dim = 16;
    spec.row_state = RowState::kAdagrad;
    spec.seed = 77;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Create(options.prototypes.init_from, spec, {}));
    PROTOPAGE_ASSERT_OK(store->Scatter({3, 30}, RowMatrixXf::Constant(2, 16, 0.25f)));
    PROTOPAGE_ASSERT_OK(store->Flush());
    PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
  }
  RowMatrixXf found(40, 16);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Create(directory, 40, 16, options, &pool));
    PROTOPAGE_ASSERT_OK(set->store().ReadRange(0, found));
    EXPECT_EQ(found, rows);  // Also those that were never written.
    PROTOPAGE_ASSERT_OK(set->BeginStage());
    MoveOnto(*set, 7, 0);
    PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
  }
  rows.row(0) = rows.row(7);
  {
    // The checkpoint does not need the store.
    PrototypeSetOptions restored = options;
    restored.prototypes.init_from = directory + "/nowhere.h5";
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                   PrototypeSet::Restore(directory, folder, restored, &pool));
    PROTOPAGE_ASSERT_OK(set->store().ReadRange(0, found));
    EXPECT_EQ(found, rows);
  }
  // So does a later set: nothing was written to the store.
  options.generation = 2;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Create(directory, 40, 16, options, &pool));
  RowMatrixXf again(40, 16);
  PROTOPAGE_ASSERT_OK(set->store().ReadRange(0, again));
  EXPECT_NE(again.row(0), found.row(0));
  EXPECT_EQ(again.bottomRows(39), found.bottomRows(39));
}

// The files of an earlier generation go with the first checkpoint that does not need them. All of
// them do, although the power fails on the way.
TEST(PrototypeSetTest, RetireRemovesAllOfAnEarlierSetAlsoAfterACrash) {
  ThreadPool pool(1);
  PrototypeSetOptions options = Options();
  options.log.background = false;
  bool crashed = true;
  for (int64_t event = 1; crashed; ++event) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(absl::StrCat("event ", event, ", seed ", seed));
      CrashFileSystem fs;
      options.file_system = &fs;
      for (const char* folder : {"/run", "/run/a", "/run/b"}) {
        PROTOPAGE_ASSERT_OK(fs.CreateDirectories(folder));
        PROTOPAGE_ASSERT_OK(fs.SyncDirectory(DirectoryOf(folder)));
      }
      for (options.generation = 1; options.generation <= 2; ++options.generation) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                       PrototypeSet::Create("/run", 40, 16, options, &pool));
        PROTOPAGE_ASSERT_OK(set->BeginStage());
        const std::string folder = options.generation == 1 ? "/run/a" : "/run/b";
        PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(folder));
        if (options.generation == 1) continue;
        fs.CrashAt(event);
        crashed = !set->Retire(folder, /*all=*/false).ok();
      }
      fs.Restart(CrashFileSystem::kMix, seed);
      {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                       PrototypeSet::Restore("/run", "/run/b", options, &pool));
        PROTOPAGE_ASSERT_OK(set->Retire("/run/b", /*all=*/false));
      }
      fs.Restart(CrashFileSystem::kDropAll, 0);
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> left, fs.List("/run"));
      EXPECT_EQ(left, (std::vector<std::string>{"a", "b", "log-2", "prototypes-2.h5",
                                                "prototypes-2.h5.lock", "queues-2.h5",
                                                "queues-2.h5.lock"}));
    }
  }
}

// A file system where nothing can be made in one folder.
class ReadOnlyFolder : public ForwardingFileSystem {
 public:
  explicit ReadOnlyFolder(std::string folder) : folder_(std::move(folder)) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (mode != OpenMode::kRead && DirectoryOf(path) == folder_) {
      return absl::PermissionDeniedError(path);
    }
    return base()->Open(path, mode);
  }

 private:
  const std::string folder_;
};

TEST(PrototypeSetTest, AStoreThatIsWrittenIsNotCopied) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("written"), folder = NewDirectory("written_store");
  PrototypeSetOptions options = Options();
  options.prototypes.init_from = folder + "/store.h5";
  PrototypeStoreSpec spec;
  spec.num_classes = 40;
  spec.dim = 16;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Create(options.prototypes.init_from, spec, {}));
    PROTOPAGE_EXPECT_OK(
        PrototypeSet::OpenInitFrom(40, 16, options).status());  // It could be written at once.
    EXPECT_THAT(PrototypeSet::Create(directory, 40, 16, options, &pool),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         absl::StrCat("prototypes.init_from: ", folder,
                                      "/store.h5: already open for writing")));
  }
  PROTOPAGE_EXPECT_OK(PrototypeSet::Create(directory, 40, 16, options, &pool).status());
  // Of a folder where no lock can be made.
  ReadOnlyFolder fs(folder);
  options.file_system = &fs;
  PROTOPAGE_EXPECT_OK(PrototypeSet::Create(directory, 40, 16, options, &pool).status());
}

TEST(PrototypeSetTest, AStoreThatDoesNotFitIsRefused) {
  ThreadPool pool(1);
  const std::string directory = NewDirectory("unfit");
  PrototypeSetOptions options = Options();
  options.prototypes.init_from = directory + "/store.h5";
  const auto check = [&](int64_t classes, int64_t dim) {
    return PrototypeSet::OpenInitFrom(classes, dim, options).status();
  };
  constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(check(40, 16), StatusIs(absl::StatusCode::kNotFound, "prototypes.init_from: "));
  PrototypeStoreSpec spec;
  spec.num_classes = 40;
  spec.dim = 16;
  PROTOPAGE_ASSERT_OK(PrototypeStore::Create(options.prototypes.init_from, spec, {}).status());
  PROTOPAGE_EXPECT_OK(check(40, 16));
  EXPECT_THAT(check(41, 16),
              StatusIs(kInvalid, "store.h5 has 40 classes, expected those of the images, 41"));
  EXPECT_THAT(check(40, 8), StatusIs(kInvalid, "has rows of 16, expected model.embedding_dim, 8"));
  options.prototypes.dtype = "float16";
  EXPECT_THAT(check(40, 16), StatusIs(kInvalid, "has dtype float32, expected prototypes.dtype"));
  options.prototypes.dtype = "float32";
  options.prototypes.row_state = "adagrad";
  EXPECT_THAT(check(40, 16), StatusIs(kInvalid, "has row_state momentum, expected"));
  options.prototypes.row_state = "momentum";
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store,
                                   PrototypeStore::Open(options.prototypes.init_from, {}));
    PROTOPAGE_ASSERT_OK(store->WriteRange(0, RowMatrixXf::Ones(1, 16)));  // Not flushed.
  }
  EXPECT_THAT(check(40, 16), StatusIs(kInvalid, "was being written when its process died"));
  // A run's own file.
  PrototypeSetOptions run = Options();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto set,
                                 PrototypeSet::Create(directory, 40, 16, run, &pool));
  PROTOPAGE_ASSERT_OK(set->SaveCheckpoint(NewDirectory("unfit_checkpoint")));
  options.prototypes.init_from = directory + "/prototypes.h5";
  EXPECT_THAT(check(40, 16),
              StatusIs(kInvalid, "is the file of a run, expected a store by itself"));
}

}  // namespace
}  // namespace protopage
