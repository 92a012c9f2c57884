#include "protopage/trainer/verbs/output_path.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

class OutputPathTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/output_path_test_", getpid(), "_",
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(Path("run/checkpoints/0000000100")));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("run/config.json"), "{}"));
  }
  std::string Path(const std::string& name) const { return JoinPath(dir_, name); }
  absl::Status Check(const std::string& name) const { return CheckOutput(fs_, Path(name)); }

  FileSystem* const fs_ = DefaultFileSystem();
  std::string dir_;
};

TEST_F(OutputPathTest, FilesOfARunAreRefused) {
  for (const char* name :
       {"config.json", "metrics.jsonl", "lock", "prototypes.h5", "prototypes-2.h5",
        "prototypes.h5.lock", "queues.h5", "checkpoints/0000000100/model.h5", "log/w.npy",
        "classes/target.h5", "events.out.tfevents.1"}) {
    EXPECT_THAT(Check(absl::StrCat("run/", name)),
                StatusIs(absl::StatusCode::kInvalidArgument, absl::StrCat("/run; choose another")))
        << name;
  }
}

TEST_F(OutputPathTest, OtherFilesMayLieInTheFolderOfARun) {
  for (const char* name : {"run/w.npy", "run/prototypes.npy", "run/prototypes-mine.h5",
                           "run/mine/config.json", "prototypes.h5", "none/w.npy"}) {
    PROTOPAGE_EXPECT_OK(Check(name)) << name;
  }
}

TEST_F(OutputPathTest, LinksAreFollowed) {
  ASSERT_EQ(symlink("run", Path("link").c_str()), 0);
  ASSERT_EQ(symlink("run/config.json", Path("w.npy").c_str()), 0);
  for (const char* name : {"link/prototypes.h5", "w.npy"}) {
    EXPECT_THAT(Check(name), StatusIs(absl::StatusCode::kInvalidArgument, "is a file of the run"));
  }
}

TEST_F(OutputPathTest, AStoreThatIsWrittenIsLeftAlone) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto lock, fs_->Open(Path("w.h5.lock"), OpenMode::kCreate));
  PROTOPAGE_EXPECT_OK(Check("w.h5"));
  PROTOPAGE_ASSERT_OK(lock->Lock());
  EXPECT_THAT(Check("w.h5"), StatusIs(absl::StatusCode::kFailedPrecondition, "is being written"));
}

TEST_F(OutputPathTest, TheExampleOfTheHeader) {
  FileSystem* const fs = fs_;
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(CheckOutput(fs, "faces.npy"));
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
}

}  // namespace
}  // namespace protopage
