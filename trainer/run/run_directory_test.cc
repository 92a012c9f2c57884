#include "protopage/trainer/run/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/json_text.h"
#include "protopage/base/sealed_json.h"
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
  EXPECT_EQ(run.config(), nlohmann::json({{"seed", 1}}));
  EXPECT_EQ(run.format(), 2);
}

TEST(RunDirectoryTest, EveryFlippedBitOfTheConfigIsFound) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = TempRun("config_bits");
  PROTOPAGE_ASSERT_OK(RunDirectory::Create(fs, path, {{"seed", 1}, {"stages", {"a", "b"}}}));
  const std::string file = JoinPath(path, "config.json");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs, file));
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, file, flipped));
    ASSERT_THAT(RunDirectory::Open(fs, path), StatusIs(absl::StatusCode::kDataLoss, file)) << bit;
  }
  // Without its seal it is no config of format 2; without both fields it is one of format 1.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, file, R"({"run_format": 2, "seed": 1})"));
  EXPECT_THAT(RunDirectory::Open(fs, path),
              StatusIs(absl::StatusCode::kDataLoss, "xxh3, is missing"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, file, R"({"seed": 1})"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory old, RunDirectory::Open(fs, path));
  EXPECT_EQ(old.format(), 1);
  PROTOPAGE_ASSERT_OK(
      WriteFileAtomically(fs, file, SealJson(DumpJson({{"run_format", 3}, {"seed", 1}}))));
  EXPECT_THAT(RunDirectory::Open(fs, path),
              StatusIs(absl::StatusCode::kFailedPrecondition, "the run has format 3"));
}

// A run with checkpoints of these numbers.
absl::StatusOr<RunDirectory> RunWith(const std::string& name, const std::vector<int64_t>& numbers,
                                     int64_t keep = 100) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory run, RunDirectory::Create(fs, TempRun(name), {}));
  for (const int64_t number : numbers) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, run.BeginCheckpoint(number));
    PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs, JoinPath(folder, "model.h5"), "weights"));
    PROTOPAGE_RETURN_IF_ERROR(run.CommitCheckpoint(number, {{"number", number}}, keep));
  }
  return run;
}

std::vector<std::string> Names(const RunDirectory& run) {
  return run.file_system()->List(run.File("checkpoints")).value();
}

// As cp -a.
void CopyFolder(const RunDirectory& run, const std::string& from, const std::string& to) {
  FileSystem* fs = run.file_system();
  const std::string source = JoinPath(run.File("checkpoints"), from);
  const std::string target = JoinPath(run.File("checkpoints"), to);
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(target));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(source));
  for (const std::string& name : names) {
    PROTOPAGE_ASSERT_OK(CopyFileAtomically(fs, JoinPath(source, name), JoinPath(target, name)));
  }
}

TEST(RunDirectoryTest, NumbersOfMoreDigitsAreNewer) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      RunDirectory run, RunWith("digits", {9'999'999'900, 9'999'999'901, 10'000'000'000}, 2));
  EXPECT_EQ(Names(run), (std::vector<std::string>{"10000000000", "9999999901"}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string latest, run.LatestCheckpoint());
  EXPECT_EQ(BaseName(latest), "10000000000");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string oldest, run.OldestCheckpoint());
  EXPECT_EQ(BaseName(oldest), "9999999901");
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(1));
  EXPECT_EQ(Names(run), std::vector<std::string>{"10000000000"});
}

TEST(RunDirectoryTest, ForeignFilesAndFoldersDoNotCountAndStay) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("foreign_names", {100, 200}));
  FileSystem* fs = run.file_system();
  const std::string checkpoints = run.File("checkpoints");
  CopyFolder(run, "0000000100", "best");
  CopyFolder(run, "0000000200", "0000000200.bak");
  CopyFolder(run, "0000000100", "0000000900");  // A copy under a number.
  CopyFolder(run, "0000000200", "0000000001");
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(JoinPath(checkpoints, "mine")));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(checkpoints, ".DS_Store"), "x"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(checkpoints, "0000000950"), "a file"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string latest, run.LatestCheckpoint());
  EXPECT_EQ(BaseName(latest), "0000000200");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string oldest, run.OldestCheckpoint());
  EXPECT_EQ(BaseName(oldest), "0000000100");
  std::vector<std::string> want = Names(run);
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(2));
  EXPECT_EQ(Names(run), want);
  const std::vector<std::string> notes = run.TakeNotes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[1], testing::HasSubstr("0000000900 is a copy of another checkpoint"));
  // A checkpoint that needs one of the names moves it aside.
  for (const int64_t number : {900, 950}) {
    PROTOPAGE_ASSERT_OK(run.BeginCheckpoint(number));
    PROTOPAGE_ASSERT_OK(run.CommitCheckpoint(number, {{"number", number}}, 100));
  }
  EXPECT_TRUE(fs->Exists(JoinPath(checkpoints, "0000000900.moved-1/model.h5")));
  EXPECT_TRUE(fs->Exists(JoinPath(checkpoints, "0000000950.moved-1")));
  EXPECT_EQ(run.TakeNotes().size(), 2u);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> numbers, run.ListCheckpoints());
  EXPECT_EQ(numbers, (std::vector<int64_t>{100, 200, 900, 950}));
}

TEST(RunDirectoryTest, ForeignFilesInACheckpointsFolderStay) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("foreign_inside", {100, 200, 300}));
  FileSystem* fs = run.file_system();
  const auto in = [&](const std::string& name) { return run.File("checkpoints/" + name); };
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(in("0000000100/mine")));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, in("0000000200/notes.txt"), "x"));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(in("0000000150")));  // Unfinished.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, in("0000000150/model.h5.tmp"), "x"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, in("0000000150/notes.txt"), "x"));
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(1));
  EXPECT_EQ(Names(run),
            (std::vector<std::string>{"0000000100", "0000000150", "0000000200", "0000000300"}));
  for (const std::string name :
       {"0000000100/mine", "0000000150/notes.txt", "0000000200/notes.txt"}) {
    EXPECT_TRUE(fs->Exists(in(name))) << name;
  }
  EXPECT_FALSE(fs->Exists(in("0000000100/model.h5")));
  EXPECT_FALSE(fs->Exists(in("0000000150/model.h5.tmp")));
  const std::vector<std::string> notes = run.TakeNotes();
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_THAT(notes[0], testing::HasSubstr("in its folder is no file of a run, and stays"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> numbers, run.ListCheckpoints());
  EXPECT_EQ(numbers, std::vector<int64_t>{300});
  // Its number may come again.
  PROTOPAGE_ASSERT_OK(run.BeginCheckpoint(200));
  PROTOPAGE_ASSERT_OK(run.CommitCheckpoint(200, {{"number", 200}}, 100));
  EXPECT_TRUE(fs->Exists(in("0000000200/notes.txt")));
}

TEST(RunDirectoryTest, ADamagedCheckpointIsNamedWithTheWayOut) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("damaged", {100, 200, 300}));
  FileSystem* fs = run.file_system();
  const std::string folder = run.File("checkpoints/0000000300");
  for (const std::string name : {"DONE", "state.json", "model.h5"}) {
    const std::string path = JoinPath(folder, name);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs, path));
    std::string changed = text;
    changed[text.size() / 2] = static_cast<char>(changed[text.size() / 2] ^ 4);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, changed));
    EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kDataLoss, path));
    EXPECT_THAT(run.LatestCheckpoint(),
                StatusIs(absl::StatusCode::kDataLoss, "--checkpoint=200 reads it"));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string older, run.FindCheckpoint(200));
    EXPECT_EQ(BaseName(older), "0000000200");
    PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(3));  // Never on its own.
    EXPECT_EQ(Names(run).size(), 3u);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, text));
  }
  EXPECT_THAT(run.FindCheckpoint(150),
              StatusIs(absl::StatusCode::kNotFound, "no checkpoint 150, only 100, 200, 300"));
  PROTOPAGE_ASSERT_OK(run.RemoveCheckpointsAfter(200));
  EXPECT_EQ(Names(run), (std::vector<std::string>{"0000000100", "0000000200"}));
  EXPECT_THAT(run.TakeNotes().at(0),
              testing::HasSubstr("checkpoint 0000000300 is removed, to go on from 0000000200"));
  // A DONE without a list of files is one of format 1, which a run of format 2 has not.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, run.File("checkpoints/0000000200/DONE"), "200\n"));
  EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kDataLoss, "no list of files"));
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

TEST(RunDirectoryTest, CheckpointsOfAnotherRunDoNotCount) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory other, RunWith("of_another_run", {100, 300}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("with_another_run", {100, 200}));
  FileSystem* fs = run.file_system();
  const auto copy = [&](const std::string& name) {
    const std::string target = JoinPath(run.File("checkpoints"), name);
    PROTOPAGE_ASSERT_OK(fs->CreateDirectories(target));
    for (const char* file : {"model.h5", "state.json", "DONE"}) {
      PROTOPAGE_ASSERT_OK(CopyFileAtomically(
          fs, JoinPath(JoinPath(other.File("checkpoints"), name), file), JoinPath(target, file)));
    }
  };
  copy("0000000300");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::string latest, run.LatestCheckpoint());
  EXPECT_EQ(BaseName(latest), "0000000200");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto foreign, run.ListForeign());
  EXPECT_EQ(foreign, std::vector<std::string>{run.CheckpointPath(300)});
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(2));
  EXPECT_THAT(run.TakeNotes(), testing::ElementsAre(testing::HasSubstr("of another run")));
  // In the place of one of the run.
  copy("0000000100");
  EXPECT_THAT(run.CheckCheckpoint(run.CheckpointPath(100), CheckDepth::kAll),
              StatusIs(absl::StatusCode::kDataLoss, "the checkpoint is of another run"));
  // In the way of a new one.
  PROTOPAGE_ASSERT_OK(run.BeginCheckpoint(300));
  EXPECT_TRUE(fs->IsDirectory(run.CheckpointPath(300) + ".moved-1"));
  // The run has its id after another process has opened it, and no id in the config itself.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory again, RunDirectory::Open(fs, run.path()));
  EXPECT_FALSE(again.config().contains("run_id"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(latest, again.LatestCheckpoint());
  EXPECT_EQ(BaseName(latest), "0000000200");
  // A config without it, as the user has it, takes all.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, run.File("config.json"), "{}"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory plain, RunDirectory::Open(fs, run.path()));
  PROTOPAGE_ASSERT_OK(plain.CheckCheckpoint(run.CheckpointPath(100), CheckDepth::kAll));
}

TEST(RunDirectoryTest, ALargeModelOfAnotherCheckpointIsFound) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run,
                                 RunDirectory::Create(DefaultFileSystem(), TempRun("large"), {}));
  FileSystem* fs = run.file_system();
  for (const int64_t number : {1, 2}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string folder, run.BeginCheckpoint(number));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(folder, "model.h5"),
                                            std::string(2 << 20, static_cast<char>('a' + number))));
    PROTOPAGE_ASSERT_OK(run.CommitCheckpoint(number, {{"number", number}}, /*keep=*/2));
  }
  PROTOPAGE_ASSERT_OK(CopyFileAtomically(fs, JoinPath(run.CheckpointPath(1), "model.h5"),
                                         JoinPath(run.CheckpointPath(2), "model.h5")));
  EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kDataLoss,
                                               "model.h5 is damaged, or another checkpoint's"));
  EXPECT_THAT(run.FindCheckpoint(2),
              StatusIs(absl::StatusCode::kDataLoss, "checkpoint 1 is whole"));
}

TEST(RunDirectoryTest, LinksInThePlaceOfACheckpointCanBeRemoved) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("links", {100, 200, 300}));
  FileSystem* fs = run.file_system();
  // A checkpoint that was moved elsewhere, and one whose mark is a link to nothing.
  const std::string moved = TempRun("links_moved");
  PROTOPAGE_ASSERT_OK(fs->Rename(run.CheckpointPath(100), moved));
  ASSERT_EQ(symlink(moved.c_str(), run.CheckpointPath(100).c_str()), 0);
  const std::string mark = JoinPath(run.CheckpointPath(200), "DONE");
  PROTOPAGE_ASSERT_OK(fs->Remove(mark));
  ASSERT_EQ(symlink("nothing", mark.c_str()), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto numbers, run.ListCheckpoints());
  EXPECT_EQ(numbers, (std::vector<int64_t>{100, 300}));
  PROTOPAGE_ASSERT_OK(run.CleanCheckpoints(1));
  EXPECT_EQ(Names(run), std::vector<std::string>{"0000000300"});
  EXPECT_TRUE(fs->IsDirectory(moved));
}

TEST(RunDirectoryTest, AMarkThatCannotBeLookedAtIsNoMissingOne) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunWith("unreadable", {100, 200}));
  const std::string mark = JoinPath(run.CheckpointPath(200), "DONE");
  PROTOPAGE_ASSERT_OK(run.file_system()->Remove(mark));
  ASSERT_EQ(symlink("DONE", mark.c_str()), 0);  // A loop.
  EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kUnavailable, mark));
  EXPECT_THAT(run.CleanCheckpoints(2), StatusIs(absl::StatusCode::kUnavailable, mark));
}

TEST(RunDirectoryTest, OnlyCompleteCheckpointsCountAndOldOnesGo) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run,
                                 RunDirectory::Create(fs, TempRun("checkpoints"), {}));
  EXPECT_THAT(run.LatestCheckpoint(), StatusIs(absl::StatusCode::kNotFound, "no complete"));
  for (const int64_t step : {5, 10, 15}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string folder, run.BeginCheckpoint(step));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(folder, "model.h5"), "weights"));
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
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(unfinished, "model.h5.tmp"), "x"));
  PROTOPAGE_ASSERT_OK(run.BeginCheckpoint(20));
  EXPECT_FALSE(fs->Exists(JoinPath(unfinished, "model.h5.tmp")));
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
