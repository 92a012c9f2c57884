#include "protopage/trainer/stages/open_stages.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/stages/stages.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

class OpenStagesTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/stages_test_", getpid());
    PROTOPAGE_ASSERT_OK(WriteTinyLists(dir_));
    config_ = TinyListTrainConfig(dir_);
  }
  absl::Status OpenFrom(int64_t first) {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto session, Session::Create(config_));
    return OpenStages(*session, first);
  }

  std::string dir_;
  TrainConfig config_;
};

TEST_F(OpenStagesTest, ImagesStayOpenForTheStages) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, Session::Create(config_));
  PROTOPAGE_ASSERT_OK(OpenStages(*session, 0));
  // All lists are read: without the files every stage has its images.
  FileSystem* fs = DefaultFileSystem();
  for (const char* split :
       {"source_train", "source_test", "target_train", "target_test", "unseen"}) {
    PROTOPAGE_ASSERT_OK(fs->Remove(absl::StrCat(dir_, "/", split, ".txt")));
  }
  for (int64_t stage = 0; stage < 5; ++stage) {
    PROTOPAGE_EXPECT_OK(session->images().Open(StageSplit(config_, stage)));
  }
  PROTOPAGE_EXPECT_OK(session->images().Open(Split::kUnseen));
}

TEST_F(OpenStagesTest, OnlyTheStagesToComeNeedTheirImages) {
  PROTOPAGE_ASSERT_OK(DefaultFileSystem()->Remove(dir_ + "/source_test.txt"));
  EXPECT_THAT(OpenFrom(0), StatusIs(absl::StatusCode::kNotFound,
                                    "stages[1] (evaluate): data.paths.source_test: "));
  PROTOPAGE_EXPECT_OK(OpenFrom(2));
}

TEST_F(OpenStagesTest, ClassesOfACheckpointAreNotKnown) {
  // The dominant stage goes on with the prototypes of an imprint stage before the checkpoint.
  config_.stages[3].split = "source_train";
  EXPECT_THAT(OpenFrom(2),
              StatusIs(absl::StatusCode::kInvalidArgument, "stages[3] (dominant): split: "));
  config_.selection.classes_per_step = config_.selection.positive_classes = 3;
  config_.stages[4].split = "source_test";
  PROTOPAGE_EXPECT_OK(OpenFrom(3));
}

TEST_F(OpenStagesTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Session::Create(config_));
  const auto example = [&]() -> absl::Status {
    // The images stay open in the session.
    PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, /*first=*/0));
    PROTOPAGE_RETURN_IF_ERROR(CheckNewPrototypes(*session, /*first=*/0, /*there=*/false));
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
}

}  // namespace
}  // namespace protopage
