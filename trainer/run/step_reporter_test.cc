#include "protopage/trainer/run/step_reporter.h"

#include <gtest/gtest.h>

#include <cmath>

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

TrainConfig OneStage(const std::string& name) {
  TrainConfig config;
  config.stages.resize(1);
  config.stages[0].name = name;
  config.stages[0].batch_size = 8;
  config.stages[0].optimizer.learning_rate = 0.5;
  config.stages[0].rows.learning_rate = 2;
  return config;
}

TEST(StepReporterTest, AnIntervalCoversTheStepsSinceTheLastOne) {
  const TrainConfig config = OneStage("dominant");
  RunPosition position{0, 10, 110, 0};
  StageTotals totals;
  totals.wait_images_seconds = 7;
  totals.wait_rows_seconds = 5;
  totals.row_lookups = 100;
  totals.row_hits = 10;
  StepReporter reporter(config, position, /*steps_per_epoch=*/4, /*total_steps=*/20, totals);
  position = {0, 12, 112, 0};
  reporter.Add({2, 0.5});
  reporter.Add({4, 0.25});
  totals.wait_images_seconds = 8;
  totals.wait_rows_seconds = 5.5;
  totals.row_lookups = 200;
  totals.row_hits = 85;
  totals.rows_paged = 25;
  totals.recall_queries = 50;
  totals.recall_missed = 5;
  totals.queues_used = 4;
  totals.queues_age_steps = 10;
  totals.log_bytes = 1 << 20;
  const StepReport report = reporter.EndInterval(position, 0.1, totals);
  EXPECT_EQ(report.stage, "dominant");
  EXPECT_EQ(report.step, 112);
  EXPECT_EQ(report.stage_step, 12);
  EXPECT_EQ(report.stage_steps, 20);
  EXPECT_EQ(report.epoch, 3);
  EXPECT_EQ(report.images, 16);
  EXPECT_EQ(report.loss, 3);
  EXPECT_EQ(report.accuracy, 0.375);
  EXPECT_EQ(report.learning_rate, 0.5 * 0.1);
  EXPECT_FALSE(std::isnan(report.row_learning_rate));
  EXPECT_EQ(report.wait_images_seconds, 1);
  EXPECT_EQ(report.wait_rows_seconds, 0.5);
  EXPECT_EQ(report.cache_hit_rate, 0.75);
  EXPECT_EQ(report.rows_paged, 25);
  EXPECT_EQ(report.index_recall, 0.9);
  EXPECT_EQ(report.queue_age_steps, 2.5);
  EXPECT_EQ(report.log_bytes, 1 << 20);
  EXPECT_TRUE(std::isnan(report.loss_scale));  // Not in fp16.

  // The next interval has nothing yet.
  const StepReport next = reporter.EndInterval(position, 1, totals);
  EXPECT_TRUE(std::isnan(next.loss));
  EXPECT_EQ(next.images, 0);
  EXPECT_EQ(next.wait_images_seconds, 0);
  EXPECT_TRUE(std::isnan(next.cache_hit_rate));
  EXPECT_EQ(next.index_recall, 0.9);  // Of the stage so far.
}

// A figure that a source stage does not count is unknown, and not 0.
TEST(StepReporterTest, AStageWithoutRowsReportsNone) {
  const TrainConfig config = OneStage("source");
  StepReporter reporter(config, {}, 4, 20, StageTotals());
  reporter.Add({2, 0.5});
  const StepReport report = reporter.EndInterval({0, 1, 1, 0}, 1, StageTotals());
  EXPECT_EQ(report.wait_images_seconds, 0);
  for (const double unknown :
       {report.row_learning_rate, report.wait_rows_seconds, report.wait_plan_seconds,
        report.cache_hit_rate, report.index_recall, report.index_seconds, report.queue_age_steps}) {
    EXPECT_TRUE(std::isnan(unknown));
  }
}

TEST(StepReporterTest, AnEpochAndAnIntervalMayBeginBeforeTheReporter) {
  const TrainConfig config = OneStage("source");
  RunPosition position{0, 2, 2, 0};
  StepReporter reporter(config, position, 4, 20, StageTotals());
  TrainingMeans before, interval;
  before.Add({1, 1});
  interval.Add({5, 1});
  reporter.GoOn(before, interval);
  reporter.Add({3, 0});
  position.stage_step = position.run_step = 4;
  EXPECT_EQ(reporter.interval().steps, 2);
  EXPECT_EQ(reporter.EndInterval(position, 1, StageTotals()).loss, 4);
  EXPECT_EQ(reporter.interval().steps, 0);
  const EpochReport report = reporter.EndEpoch(position);
  EXPECT_EQ(report.epoch, 1);
  EXPECT_EQ(report.loss, 2);
  EXPECT_EQ(report.accuracy, 0.5);
  EXPECT_EQ(reporter.epoch().steps, 0);
}

TEST(StageReportTest, SaysWhatTheStageDoes) {
  TrainConfig config = OneStage("dominant");
  config.stages.emplace_back();
  config.stages.back().name = "evaluate";
  const StageReport training = MakeStageReport(config, {0, 5, 25, 0});
  EXPECT_EQ(training.kind, "train");
  EXPECT_EQ(training.step, 25);
  EXPECT_EQ(training.stage_step, 5);
  EXPECT_EQ(training.num_stages, 2);
  EXPECT_EQ(MakeStageReport(config, {1, 0, 25, 0}).kind, "evaluate");
}

// The example of the header; it needs a trainer.
[[maybe_unused]] absl::Status TheExampleOfTheHeader(const TrainConfig& config, RunPosition position,
                                                    int64_t steps_per_epoch, int64_t total,
                                                    StageTrainer* trainer, double factor,
                                                    const StepOutcome& outcome,
                                                    TrainObserver& observers) {
  StepReporter reporter(config, position, steps_per_epoch, total, trainer->totals());
  reporter.Add(outcome);
  return observers.OnStep(reporter.EndInterval(position, factor, trainer->totals()));
}

}  // namespace
}  // namespace protopage
