#include "protopage/trainer/run/checkpoint_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

class CheckpointReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path =
        absl::StrCat(testing::TempDir(), "/checkpoint_reader_", getpid(), "_",
                     testing::UnitTest::GetInstance()->current_test_info()->name());
    absl::StatusOr<RunDirectory> run = RunDirectory::Create(DefaultFileSystem(), path, {});
    PROTOPAGE_ASSERT_OK(run);
    run_ = std::make_unique<RunDirectory>(*std::move(run));
  }
  // Makes a checkpoint, and removes all but the newest `keep`.
  void Save(int64_t number, int64_t keep) {
    PROTOPAGE_ASSERT_OK(run_->BeginCheckpoint(number));
    PROTOPAGE_ASSERT_OK(run_->CommitCheckpoint(number, {{"number", number}}, keep));
  }
  absl::Status Read(const std::function<absl::Status(const std::string&)>& read,
                    int64_t number = -1) {
    return ReadCheckpoint(*run_, number, [&](const std::string& folder) {
      read_.push_back(BaseName(folder));
      return read(folder);
    });
  }
  absl::Status ReadState(const std::string& folder) {
    return run_->ReadCheckpointState(folder).status();
  }

  std::unique_ptr<RunDirectory> run_;
  std::vector<std::string> read_;  // The folders, one a call.
};

TEST_F(CheckpointReaderTest, ACheckpointThatGoesAwayIsFollowedByTheNewerOne) {
  Save(100, 1);
  bool first = true;
  PROTOPAGE_EXPECT_OK(Read([&](const std::string& folder) {
    if (first) Save(200, 1);
    first = false;
    return ReadState(folder);
  }));
  EXPECT_EQ(read_, (std::vector<std::string>{"0000000100", "0000000200"}));
}

TEST_F(CheckpointReaderTest, AnErrorOfACheckpointThatStaysIsReportedAtOnce) {
  Save(100, 2);
  Save(200, 2);
  const auto fails = [&](const std::string& folder) {
    return absl::DataLossError(absl::StrCat(folder, "/model.h5 is damaged"));
  };
  EXPECT_THAT(Read(fails), StatusIs(absl::StatusCode::kDataLoss,
                                    "0000000200/model.h5 is damaged; checkpoint 100 is whole"));
  EXPECT_EQ(read_, std::vector<std::string>{"0000000200"});
}

TEST_F(CheckpointReaderTest, ARunThatIsTooFastIsNotDamaged) {
  int64_t number = 1;
  Save(number, 1);
  EXPECT_THAT(Read([&](const std::string& folder) {
                Save(++number, 1);
                return ReadState(folder);
              }),
              StatusIs(absl::StatusCode::kAborted, "nothing is damaged: try again"));
  EXPECT_EQ(read_.size(), 20u);
}

TEST_F(CheckpointReaderTest, ANamedCheckpointIsReadAloneAndMustBeThere) {
  EXPECT_THAT(Read([](const std::string&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kNotFound, "holds no complete checkpoint"));
  Save(100, 2);
  Save(200, 2);
  PROTOPAGE_EXPECT_OK(Read([&](const std::string& folder) { return ReadState(folder); }, 100));
  EXPECT_EQ(read_, std::vector<std::string>{"0000000100"});
  EXPECT_THAT(Read([](const std::string&) { return absl::OkStatus(); }, 150),
              StatusIs(absl::StatusCode::kNotFound, "no checkpoint 150, only 100, 200"));
}

}  // namespace
}  // namespace protopage
