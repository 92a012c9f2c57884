#include "protopage/trainer/stages/open_stages.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
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

TEST_F(OpenStagesTest, EachImageOfTheStagesToComeIsLookedAt) {
  FileSystem* fs = DefaultFileSystem();
  const std::string path = dir_ + "/images/source_test_0_0.png";
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(fs, path));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, good.substr(0, good.size() / 2)));
  EXPECT_THAT(OpenFrom(0),
              StatusIs(absl::StatusCode::kDataLoss,
                       absl::StrCat("stages[1] (evaluate): split source_test: ", path)));
  PROTOPAGE_EXPECT_OK(OpenFrom(2));
  PROTOPAGE_ASSERT_OK(fs->Remove(path));
  EXPECT_THAT(OpenFrom(0), StatusIs(absl::StatusCode::kNotFound, path));
  config_.data.check_images = false;
  PROTOPAGE_EXPECT_OK(OpenFrom(0));
  config_.data.check_images = true;
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, good));
  PROTOPAGE_ASSERT_OK(fs->Remove(dir_ + "/images/unseen_0_0.png"));
  EXPECT_THAT(OpenFrom(0),
              StatusIs(absl::StatusCode::kNotFound, "stages[4] (evaluate): split unseen: "));
}

TEST_F(OpenStagesTest, CacheAndIndexMustFit) {
  config_.prototypes.index = "ivf_sq8";
  config_.prototypes.index_lists = 9;
  EXPECT_THAT(OpenFrom(0), StatusIs(absl::StatusCode::kInvalidArgument,
                                    "stages[3] (dominant): prototypes.index ivf_sq8, index_lists: "
                                    "9 lists for 8 classes"));
  config_.selection.mode = "random";  // It needs no index.
  PROTOPAGE_EXPECT_OK(OpenFrom(0));
  config_ = TinyListTrainConfig(dir_, {"model.embedding_dim=20000"});
  // A row and its momentum take 160,000 bytes.
  config_.prototypes.cache_bytes = 1 << 20;
  EXPECT_THAT(OpenFrom(2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "stages[3] (dominant): prototypes.cache_bytes: found 1048576, which holds 5 "
                       "rows, expected at least 2097152 for the 6 classes of a step"));
  config_.prototypes.cache_bytes = 2097152;
  PROTOPAGE_EXPECT_OK(OpenFrom(2));
  config_ = TinyListTrainConfig(dir_, {"model.embedding_dim=1", "prototypes.index=ivf_pq"});
  EXPECT_THAT(OpenFrom(2), StatusIs(absl::StatusCode::kInvalidArgument,
                                    "prototypes.index ivf_pq: an ivf_pq index of dim 1"));
}

TEST_F(OpenStagesTest, SplitsThatAreNotMeasuredAreTold) {
  const auto warnings = [&] {
    testing::internal::CaptureStderr();
    PROTOPAGE_EXPECT_OK(OpenFrom(0));
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warnings(), "");
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string list, ReadFile(fs, dir_ + "/unseen.txt"));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(
      fs, dir_ + "/unseen.txt", absl::StrReplaceAll(list, {{"\tid", "\tID"}, {"spot", "SPOT"}})));
  const std::string upper = warnings();
  EXPECT_TRUE(absl::StrContains(upper, "warning: split unseen is not measured")) << upper;
  EXPECT_TRUE(absl::StrContains(upper, "found domains ID, SPOT")) << upper;
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(
      fs, dir_ + "/unseen.txt", absl::StrReplaceAll(list, {{"\tid", ""}, {"\tspot", ""}})));
  const std::string without = warnings();
  EXPECT_TRUE(absl::StrContains(without, "found domain image")) << without;
  config_.stages.resize(2);
  const std::string unread = warnings();
  for (const char* split : {"target_train", "target_test", "unseen"}) {
    EXPECT_TRUE(absl::StrContains(
        unread, absl::StrCat("data.paths.", split, " is set, but no stage reads it")))
        << unread;
  }
  EXPECT_FALSE(absl::StrContains(unread, "source")) << unread;
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
