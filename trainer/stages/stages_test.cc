#include "protopage/trainer/stages/stages.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

TrainConfig WithStages(const std::vector<std::string>& names) {
  TrainConfig config;
  for (const std::string& name : names) {
    config.stages.emplace_back();
    config.stages.back().name = name;
  }
  return config;
}

TEST(StagesTest, EvaluationsAreNamedByWhatTheyMeasure) {
  const TrainConfig config =
      WithStages({"source", "evaluate", "evaluate", "imprint", "evaluate", "dominant", "evaluate"});
  EXPECT_EQ(EvaluationName(config, 1), "source");
  EXPECT_EQ(EvaluationName(config, 2), "source");
  EXPECT_EQ(EvaluationName(config, 4), "imprinted");
  EXPECT_EQ(EvaluationName(config, 6), "dominant");
}

TEST(StagesTest, StagesReadTheirOwnSplitsUnlessTold) {
  TrainConfig config = WithStages({"source", "evaluate", "imprint", "dominant", "evaluate"});
  EXPECT_EQ(StageSplit(config, 0), Split::kSourceTrain);
  EXPECT_EQ(StageSplit(config, 1), Split::kSourceTest);
  EXPECT_EQ(StageSplit(config, 2), Split::kTargetTrain);
  EXPECT_EQ(StageSplit(config, 3), Split::kTargetTrain);
  EXPECT_EQ(StageSplit(config, 4), Split::kTargetTest);
  config.stages[4].split = "target_validation";
  EXPECT_EQ(StageSplit(config, 4), Split::kTargetValidation);
  EXPECT_EQ(SplitsFrom(config, 3),
            (std::vector<Split>{Split::kTargetTrain, Split::kTargetValidation, Split::kUnseen}));
  EXPECT_TRUE(SplitsFrom(config, 5).empty());
}

TEST(StagesTest, EpochsAreWholeBatches) {
  const FakeSource source(std::vector<ClassId>(25, 0), 1);
  StageConfig stage;
  stage.batch_size = 8;
  EXPECT_EQ(StepsPerEpoch(stage, source), 3);
  stage.batch_size = 26;
  EXPECT_EQ(StepsPerEpoch(stage, source), 1);
  stage.epochs = 2.5;
  EXPECT_EQ(TotalSteps(stage, 4), 10);
  stage.epochs = 0.01;
  EXPECT_EQ(TotalSteps(stage, 4), 1);
  stage.steps = 7;
  EXPECT_EQ(TotalSteps(stage, 4), 7);
}

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

}  // namespace
}  // namespace protopage
