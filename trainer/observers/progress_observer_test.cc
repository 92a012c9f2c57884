#include "protopage/trainer/observers/progress_observer.h"

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class ProgressObserverTest : public testing::Test {
 protected:
  ProgressObserver Observer(bool is_terminal) {
    ProgressOptions options;
    options.is_terminal = is_terminal;
    options.clock = [this] { return now_; };
    options.draw = [this](absl::string_view text) { drawn_.emplace_back(text); };
    options.log = [this](absl::string_view text) { logged_.emplace_back(text); };
    options.warn = [this](absl::string_view text) { warned_.emplace_back(text); };
    return ProgressObserver(options);
  }

  static StageReport Stage() {
    StageReport stage;
    stage.stage = "dominant";
    stage.kind = "train";
    stage.stage_index = 2;
    stage.num_stages = 4;
    stage.step = 1000;
    stage.stage_steps = 5070;
    return stage;
  }

  static StepReport Step(int64_t stage_step) {
    StepReport step;
    step.stage = "dominant";
    step.stage_index = 2;
    step.step = 1000 + stage_step;
    step.stage_step = stage_step;
    step.stage_steps = 5070;
    step.epoch = 4;
    step.loss = 3.41234;
    step.accuracy = 0.5714;
    step.seconds = 10;
    step.images_per_second = 1240.4;
    step.wait_images_seconds = 0.12;
    step.wait_rows_seconds = 2;
    step.wait_plan_seconds = 1;
    return step;
  }

  double now_ = 100;
  std::vector<std::string> drawn_;
  std::vector<std::string> logged_;
  std::vector<std::string> warned_;
};

TEST_F(ProgressObserverTest, MessagesAreLinesByTheirLevel) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnMessage({LogLevel::kInfo, "run a on cpu"}));
  PROTOPAGE_ASSERT_OK(observer.OnMessage({LogLevel::kWarning, "the loss was not finite"}));
  EXPECT_THAT(logged_, ElementsAre("run a on cpu"));
  EXPECT_THAT(warned_, ElementsAre("the loss was not finite"));
  EXPECT_THAT(drawn_, SizeIs(0));
}

TEST_F(ProgressObserverTest, ProgressIsDrawnOnATerminalUntilTheNextMessage) {
  ProgressObserver terminal = Observer(true);
  PROTOPAGE_ASSERT_OK(terminal.OnProgress({"imprint", "images", 50, 120}));
  EXPECT_THAT(drawn_, ElementsAre("imprint 50/120 images"));
  PROTOPAGE_ASSERT_OK(terminal.OnMessage({LogLevel::kInfo, "imprinted 4 classes"}));
  EXPECT_THAT(drawn_, ElementsAre("imprint 50/120 images", ""));
  PROTOPAGE_ASSERT_OK(terminal.OnProgress({"imprint", "images", 60, 120}));
  PROTOPAGE_ASSERT_OK(terminal.OnStageEnd(Stage()));
  EXPECT_EQ(drawn_.back(), "");
  drawn_.clear();
  ProgressObserver log = Observer(false);
  PROTOPAGE_ASSERT_OK(log.OnProgress({"imprint", "images", 50, 120}));
  PROTOPAGE_ASSERT_OK(log.OnMessage({LogLevel::kInfo, "imprinted 4 classes"}));
  EXPECT_THAT(drawn_, SizeIs(0));
}

TEST_F(ProgressObserverTest, OneLineSaysAll) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  now_ += 120;  // 1,200 steps in two minutes; 3,870 are left.
  PROTOPAGE_ASSERT_OK(observer.OnStep(Step(1200)));
  EXPECT_THAT(logged_, ElementsAre("stage dominant 3/4 (train): 5,070 steps"));
  EXPECT_THAT(drawn_, ElementsAre("dominant 3/4  step 1,200/5,070 (23%)  epoch 4  "
                                  "loss 3.412  acc 0.571  1,240 images/s  "
                                  "waiting: images 1.2%, rows 20%, plan 10%  ETA 6m27s"));
}

TEST_F(ProgressObserverTest, ShowsThePagingOfRowsAndTheAgeOfTheIndex) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  StepReport step = Step(5070);
  step.rows_paged = 12400;
  step.cache_hit_rate = 0.87;
  step.log_bytes = int64_t{3} << 29;
  PROTOPAGE_ASSERT_OK(observer.OnStep(step));
  step.index_recall = 0.9876;
  step.queue_age_steps = 310;
  PROTOPAGE_ASSERT_OK(observer.OnStep(step));
  EXPECT_THAT(drawn_[0], HasSubstr("  rows: 1,240/s read, 87% cached, log 1.50 GiB"));
  EXPECT_THAT(drawn_[0], Not(HasSubstr("index")));
  EXPECT_THAT(drawn_[1], HasSubstr("log 1.50 GiB  index: recall 0.988, lists 310 steps old"));
}

TEST_F(ProgressObserverTest, UnknownValuesAreLeftOut) {
  ProgressObserver observer = Observer(true);
  StageReport stage = Stage();
  stage.stage_steps = 0;
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(stage));
  StepReport step;
  step.stage = "imprint";
  step.stage_index = 2;
  step.stage_step = 3;
  step.skipped_steps = 2;
  PROTOPAGE_ASSERT_OK(observer.OnStep(step));
  EXPECT_THAT(drawn_, ElementsAre("imprint 3/4  step 3  skipped 2"));
}

TEST_F(ProgressObserverTest, ALogGetsALineEveryTenSecondsAndTheLastStep) {
  ProgressObserver observer = Observer(false);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  for (int step = 1; step <= 25; ++step) {
    now_ += 1;
    PROTOPAGE_ASSERT_OK(observer.OnStep(Step(step)));
  }
  ASSERT_THAT(drawn_, SizeIs(3));
  EXPECT_THAT(drawn_[0], HasSubstr("step 1/"));
  EXPECT_THAT(drawn_[1], HasSubstr("step 11/"));
  EXPECT_THAT(drawn_[2], HasSubstr("step 21/"));
  PROTOPAGE_ASSERT_OK(observer.OnStep(Step(5070)));
  ASSERT_THAT(drawn_, SizeIs(4));
  EXPECT_THAT(drawn_[3], HasSubstr("step 5,070/5,070 (100%)"));
  EXPECT_THAT(drawn_[3], Not(HasSubstr("ETA")));
}

TEST_F(ProgressObserverTest, ATerminalIsRedrawnTenTimesASecond) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  for (int step = 1; step <= 100; ++step) {
    now_ += 0.015625;
    PROTOPAGE_ASSERT_OK(observer.OnStep(Step(step)));
  }
  EXPECT_THAT(drawn_, SizeIs(15));  // Every seventh: 0.109 s.
}

TEST_F(ProgressObserverTest, TheEtaFollowsTheRecentPace) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  now_ += 10;  // A slow start: 10 s a step.
  PROTOPAGE_ASSERT_OK(observer.OnStep(Step(1)));
  EXPECT_THAT(drawn_.back(), HasSubstr("ETA 14h04m"));
  for (int step = 2; step <= 601; ++step) {
    now_ += 1;
    PROTOPAGE_ASSERT_OK(observer.OnStep(Step(step)));
  }
  EXPECT_THAT(drawn_.back(), HasSubstr("ETA 1h14m"));  // 4,469 s.
}

TEST_F(ProgressObserverTest, AResumedStageCountsItsPaceFromTheResumePoint) {
  ProgressObserver observer = Observer(true);
  StageReport stage = Stage();
  stage.stage_step = 5000;
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(stage));
  EXPECT_THAT(logged_.back(), HasSubstr("going on after step 5,000"));
  now_ += 10;
  PROTOPAGE_ASSERT_OK(observer.OnStep(Step(5010)));
  EXPECT_THAT(drawn_.back(), HasSubstr("ETA 1m00s"));
}

TEST_F(ProgressObserverTest, StagesEvaluationsAndCheckpointsAreLogLines) {
  ProgressObserver observer = Observer(true);
  PROTOPAGE_ASSERT_OK(observer.OnStageStart(Stage()));
  EvaluationReport evaluation;
  evaluation.stage = "evaluate";
  evaluation.scalars = {{"closed_set/top1", 0.57412}, {"rank1", 0.9}};
  PROTOPAGE_ASSERT_OK(observer.OnEvaluation(evaluation));
  CheckpointReport checkpoint;
  checkpoint.step = 1200;
  checkpoint.path = "run/checkpoints/1200";
  checkpoint.seconds = 0.25;
  PROTOPAGE_ASSERT_OK(observer.OnCheckpoint(checkpoint));
  StageReport end = Stage();
  end.seconds = 3725;
  PROTOPAGE_ASSERT_OK(observer.OnStageEnd(end));
  EXPECT_THAT(logged_, ElementsAre("stage dominant 3/4 (train): 5,070 steps",
                                   "evaluation (evaluate):  closed_set/top1 0.5741  rank1 0.9",
                                   "checkpoint at step 1,200: run/checkpoints/1200 (0.25 s)",
                                   "stage dominant 3/4 done in 1h02m"));
}

TEST_F(ProgressObserverTest, TheLineIsClearedAtTheEndOnATerminalOnly) {
  ProgressObserver terminal = Observer(true);
  PROTOPAGE_ASSERT_OK(terminal.OnStageStart(Stage()));
  PROTOPAGE_ASSERT_OK(terminal.OnStep(Step(5070)));
  PROTOPAGE_ASSERT_OK(terminal.OnStageEnd(Stage()));
  EXPECT_EQ(drawn_.back(), "");
  drawn_.clear();
  ProgressObserver log = Observer(false);
  PROTOPAGE_ASSERT_OK(log.OnStageStart(Stage()));
  PROTOPAGE_ASSERT_OK(log.OnStep(Step(5070)));
  PROTOPAGE_ASSERT_OK(log.OnStageEnd(Stage()));
  EXPECT_THAT(drawn_, SizeIs(1));
}

TEST(FormatTest, Durations) {
  EXPECT_EQ(FormatDuration(-1), "0s");
  EXPECT_EQ(FormatDuration(59.4), "59s");
  EXPECT_EQ(FormatDuration(59.6), "1m00s");
  EXPECT_EQ(FormatDuration(3599), "59m59s");
  EXPECT_EQ(FormatDuration(3600), "1h00m");
  EXPECT_EQ(FormatDuration(86400 * 2 + 4 * 3600), "2d04h");
}

}  // namespace
}  // namespace protopage
