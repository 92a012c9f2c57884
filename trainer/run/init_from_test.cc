#include "protopage/trainer/run/init_from.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/run/run_directory.h"

namespace protopage {
namespace {

TEST(InitFromTest, ARunACheckpointOrAFile) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = absl::StrCat(testing::TempDir(), "/init_from_", getpid());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(RunDirectory run, RunDirectory::Create(fs, path, {}));
  EXPECT_THAT(FindModelFile(fs, path),
              StatusIs(absl::StatusCode::kNotFound, "no complete checkpoint"));
  std::string folder;
  for (const int64_t step : {100, 200}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(folder, run.BeginCheckpoint(step));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, JoinPath(folder, "model.h5"), "model"));
    PROTOPAGE_ASSERT_OK(run.CommitCheckpoint(step, {{"step", step}}, 2));
  }
  const std::string model = JoinPath(folder, "model.h5");
  for (const std::string& from : {path, folder, model}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string found, FindModelFile(fs, from));
    EXPECT_EQ(found, model);
  }
  // A checkpoint may lie anywhere, and is compared with its list of files.
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, model, "mXdel"));
  for (const std::string& from : {path, folder}) {
    EXPECT_THAT(FindModelFile(fs, from),
                StatusIs(absl::StatusCode::kDataLoss, "model.h5 is damaged"));
  }
}

TEST(InitFromTest, AnythingElseIsNamed) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = absl::StrCat(testing::TempDir(), "/init_from_other_", getpid());
  EXPECT_THAT(FindModelFile(fs, path), StatusIs(absl::StatusCode::kNotFound, "no such file"));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(path));
  EXPECT_THAT(FindModelFile(fs, path),
              StatusIs(absl::StatusCode::kInvalidArgument, "neither a run nor a complete"));
}

[[maybe_unused]] absl::StatusOr<std::string> TheExampleOfTheHeader(FileSystem* fs) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string path, FindModelFile(fs, "runs/a"));
  return path;
}

}  // namespace
}  // namespace protopage
