#include "protopage/trainer/stages/stages.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/trainer/session/session.h"

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
  // With a head, unseen classes are not measured.
  EXPECT_EQ(StageSplits(config, 1), std::vector<Split>{Split::kSourceTest});
  config.data.type = "cifar";  // It has none.
  EXPECT_EQ(StageSplits(config, 4), std::vector<Split>{Split::kTargetValidation});
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

TEST(StagesTest, ALengthBeyondAllMeasureIsAnError) {
  StageConfig stage;
  for (const double epochs : {1e17, 1e300}) {
    stage.epochs = epochs;
    EXPECT_THAT(CheckLength(stage, 3), StatusIs(absl::StatusCode::kInvalidArgument,
                                                absl::StrCat("epochs: found ", epochs)));
    EXPECT_EQ(TotalSteps(stage, 3), kMaxSteps);
  }
  stage.epochs = 1e15;
  PROTOPAGE_EXPECT_OK(CheckLength(stage, 1));
  EXPECT_THAT(CheckLength(stage, 2), StatusIs(absl::StatusCode::kInvalidArgument, "1000000000"));
  stage.epochs = 0;
  PROTOPAGE_EXPECT_OK(CheckLength(stage, 1));
}

TEST(StagesTest, EvaluationsWithoutAClassifierKeepTheirOwnName) {
  const TrainConfig config = WithStages({"evaluate", "source"});
  EXPECT_EQ(ClassifierMaker(config, 0), nullptr);
  EXPECT_EQ(ClassifierMaker(config, 1), nullptr);
  EXPECT_EQ(EvaluationName(config, 0), "evaluate");
}

// The example of the header; it needs a session.
[[maybe_unused]] absl::Status TheExampleOfTheHeader(const TrainConfig& config, Session* session) {
  const Split split = StageSplit(config, 0);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session->images().Open(split));
  const int64_t steps = TotalSteps(config.stages[0], StepsPerEpoch(config.stages[0], *source));
  return steps > 0 ? absl::OkStatus() : absl::InternalError("no steps");
}

}  // namespace
}  // namespace protopage
