#include "protopage/trainer/run/run_directory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

std::string TempRun(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/run_directory_test_", getpid(), "_", name);
}

TEST(RunDirectoryTest, ARunIsNotOverwritten) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("twice");
  PROTOPAGE_ASSERT_OK(RunDirectory::Create(fs, path, {{"seed", 1}}));
  EXPECT_THAT(RunDirectory::Create(fs, path, {}),
              StatusIs(absl::StatusCode::kAlreadyExists, "--resume"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, RunDirectory::Open(fs, path));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const nlohmann::json config, run.ReadConfigJson());
  EXPECT_EQ(config, nlohmann::json({{"seed", 1}}));
}

TEST(RunDirectoryTest, WhatAProcessLeftThatDiedInCreateIsNoRun) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("half");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(JoinPath(path, "checkpoints")));
  // No process has this number.
  const std::string temporary = "config.json.999999999.tmp";
  for (const std::string& name : {std::string("lock"), temporary}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(path, name), "{\"se"));
  }
  PROTOPAGE_EXPECT_OK(RunDirectory::CheckFree(fs, path));
  PROTOPAGE_ASSERT_OK(RunDirectory::Create(fs, path, {{"seed", 1}}));
  PROTOPAGE_EXPECT_OK(RunDirectory::Open(fs, path));
  EXPECT_FALSE(fs->Exists(JoinPath(path, temporary)));

  // A checkpoint makes it somebody's.
  const std::string other = TempRun("lost_config");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(JoinPath(other, "checkpoints/0000000100")));
  EXPECT_THAT(
      RunDirectory::Create(fs, other, {}),
      StatusIs(absl::StatusCode::kAlreadyExists, "there is checkpoints but no config.json"));
}

TEST(RunDirectoryTest, WhenThePowerGoesInCreateThereIsARunOrNone) {
  const std::string path = "/runs/a";
  CrashFileSystem straight;
  PROTOPAGE_ASSERT_OK(RunDirectory::Create(&straight, path, {}));
  int begun = 0;
  for (int64_t event = 1; event <= straight.events(); ++event) {
    for (uint64_t seed = 0; seed < 64; ++seed) {
      SCOPED_TRACE(absl::StrCat("event ", event, ", seed ", seed));
      CrashFileSystem fs;
      fs.CrashAt(event);
      ASSERT_THAT(RunDirectory::Create(&fs, path, {}),
                  StatusIs(absl::StatusCode::kUnavailable, "the power is gone"));
      fs.Restart(CrashFileSystem::kMix, seed);
      if (!fs.Exists(JoinPath(path, "config.json"))) {
        PROTOPAGE_ASSERT_OK(RunDirectory::Create(&fs, path, {}));
        continue;
      }
      ++begun;
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunDirectory::Resume(&fs, path));
      ASSERT_THAT(run.LatestCheckpoint(),
                  StatusIs(absl::StatusCode::kNotFound, "holds no complete checkpoint"));
      PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(1));
    }
  }
  EXPECT_GT(begun, 0);
}

TEST(RunDirectoryTest, CreateMakesTheNamesOfAllFoldersDurable) {
  for (const char* path : {"/a", "/a/b/c", "/there/b/c"}) {
    CrashFileSystem fs;
    PROTOPAGE_ASSERT_OK(fs.CreateDirectories("/there"));
    PROTOPAGE_ASSERT_OK(fs.SyncDirectory("/"));
    PROTOPAGE_ASSERT_OK(RunDirectory::Create(&fs, path, {{"seed", 1}}));
    fs.Restart(CrashFileSystem::kDropAll, 0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, RunDirectory::Resume(&fs, path));
    EXPECT_TRUE(fs.IsDirectory(run.File("checkpoints"))) << path;
  }
}

TEST(RunDirectoryTest, ALockFileIsNeverRemoved) {
  CrashFileSystem fs;
  fs.FailSyncAt(1);
  EXPECT_THAT(RunDirectory::Create(&fs, "/a/b", {}),
              StatusIs(absl::StatusCode::kUnavailable, "injected failure"));
  // Another process may have opened it before it was unlocked.
  EXPECT_TRUE(fs.Exists("/a/b/lock"));
  EXPECT_FALSE(fs.Exists("/a/b/config.json"));
  PROTOPAGE_EXPECT_OK(RunDirectory::CheckFree(&fs, "/a/b"));
  PROTOPAGE_EXPECT_OK(RunDirectory::Create(&fs, "/a/b", {}));
}

TEST(RunDirectoryTest, OneProcessAtATimeTrains) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("locked");
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, RunDirectory::Create(fs, path, {}));
    EXPECT_THAT(RunDirectory::Resume(fs, path),
                StatusIs(absl::StatusCode::kFailedPrecondition, "another process trains in it"));
    PROTOPAGE_EXPECT_OK(RunDirectory::Open(fs, path));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run, RunDirectory::Resume(fs, path));
  EXPECT_THAT(RunDirectory::Resume(fs, path),
              StatusIs(absl::StatusCode::kFailedPrecondition, "lock is locked"));
  // Before there is a config, too.
  PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(path, "config.json")));
  EXPECT_THAT(RunDirectory::Create(fs, path, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "another process trains in it"));
}

TEST(RunDirectoryTest, AFolderOfSomebodyElseIsLeftAlone) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("foreign");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(path));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(path, "thesis.tex"), "x"));
  EXPECT_THAT(RunDirectory::Create(fs, path, {}),
              StatusIs(absl::StatusCode::kAlreadyExists, "not empty"));
  EXPECT_THAT(RunDirectory::Open(fs, path), StatusIs(absl::StatusCode::kNotFound, "holds no run"));
}

TEST(RunDirectoryTest, WhatCannotBeMadeLeavesNothing) {
  FileSystem* fs = DefaultFileSystem();
  const std::string parent = TempRun("parent");
  // The parents can be made, the run cannot.
  const std::string path = absl::StrCat(parent, "/a/", std::string(300, 'x'));
  EXPECT_THAT(RunDirectory::Create(fs, path, {}),
              StatusIs(absl::StatusCode::kUnavailable, "cannot make the run directory"));
  EXPECT_FALSE(fs->Exists(parent));
  EXPECT_THAT(RunDirectory::CheckFree(fs, path),
              StatusIs(absl::StatusCode::kUnavailable, "cannot make the run directory"));
  EXPECT_FALSE(fs->Exists(parent));
  const std::string other = TempRun("other");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(other));
  PROTOPAGE_EXPECT_OK(RunDirectory::CheckFree(fs, JoinPath(other, "b/c")));
  EXPECT_FALSE(fs->Exists(JoinPath(other, "b")));
  PROTOPAGE_EXPECT_OK(RunDirectory::CheckFree(fs, other));
  EXPECT_TRUE(fs->Exists(other));
}

TEST(RunDirectoryTest, CheckFreeFindsWhatCreateWould) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("check_free");
  PROTOPAGE_ASSERT_OK(RunDirectory::CheckFree(fs, path));
  PROTOPAGE_ASSERT_OK(RunDirectory::Create(fs, path, {}));
  EXPECT_THAT(RunDirectory::CheckFree(fs, path),
              StatusIs(absl::StatusCode::kAlreadyExists, "--resume"));
}

TEST(RunDirectoryTest, OnlyCompleteCheckpointsCountAndOldOnesGo) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run,
                                 RunDirectory::Create(fs, TempRun("checkpoints"), {}));
  EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kNotFound, "no complete"));
  for (const int64_t step : {5, 10, 15}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string folder, run.BeginCheckpoint(step));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(folder, "net"), "weights"));
    PROTOPAGE_ASSERT_OK(run.CommitCheckpoint(step, {{"step", step}}, /*keep=*/2));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string unfinished, run.BeginCheckpoint(20));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string latest, run.LatestCheckpoint());
  EXPECT_TRUE(RunDirectory::IsCheckpoint(fs, latest));
  EXPECT_FALSE(RunDirectory::IsCheckpoint(fs, unfinished));
  EXPECT_EQ(BaseName(latest), "0000000015");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const nlohmann::json state, run.ReadCheckpointState(latest));
  EXPECT_EQ(state.at("step"), 15);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names,
                                 fs->List(run.File("checkpoints")));
  EXPECT_EQ(names, (std::vector<std::string>{"0000000010", "0000000015", "0000000020"}));
  // A second attempt at the unfinished one starts empty.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(unfinished, "half"), "x"));
  PROTOPAGE_ASSERT_OK(run.BeginCheckpoint(20));
  EXPECT_FALSE(fs->Exists(JoinPath(unfinished, "half")));
  // Nor do those stay that nobody attempts again.
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(/*keep=*/2));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> left,
                                 fs->List(run.File("checkpoints")));
  EXPECT_EQ(left, (std::vector<std::string>{"0000000010", "0000000015"}));
  // Nor does a complete one that its process died before it removed.
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(/*keep=*/1));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> newest,
                                 fs->List(run.File("checkpoints")));
  EXPECT_EQ(newest, std::vector<std::string>{"0000000015"});
}

TEST(RunDirectoryTest, FirstFreePathCountsUp) {
  FileSystem* fs = DefaultFileSystem();
  const std::string base = TempRun("free");
  EXPECT_EQ(FirstFreePath(fs, base), base + "-1");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(base + "-1"));
  EXPECT_EQ(FirstFreePath(fs, base), base + "-2");
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs,
                                                    const nlohmann::ordered_json& config_json,
                                                    const nlohmann::ordered_json& state) {
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory run, RunDirectory::Create(fs, "runs/a", config_json));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, run.BeginCheckpoint(120));
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, JoinPath(folder, "model.h5"), "..."));
  PROTOPAGE_RETURN_IF_ERROR(run.CommitCheckpoint(120, state, /*keep=*/2));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
