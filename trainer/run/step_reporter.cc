#include "protopage/trainer/run/step_reporter.h"

#include "protopage/trainer/configs/stage_specs.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

// Sets the figures of `report` that come from the totals at the start and the end of its interval.
void SetFigures(const StageTotals& start, const StageTotals& end, StepReport* report) {
  report->wait_images_seconds = end.wait_images_seconds - start.wait_images_seconds;
  report->wait_rows_seconds = end.wait_rows_seconds - start.wait_rows_seconds;
  report->wait_plan_seconds = end.wait_plan_seconds - start.wait_plan_seconds;
  report->index_seconds = end.index_seconds - start.index_seconds;
  report->rows_paged = end.rows_paged - start.rows_paged;
  const int64_t lookups = end.row_lookups - start.row_lookups;
  if (lookups > 0) {
    report->cache_hit_rate = static_cast<double>(end.row_hits - start.row_hits) / lookups;
  }
  if (end.recall_queries > 0) {
    report->index_recall = 1 - end.recall_missed / static_cast<double>(end.recall_queries);
  }
  const int64_t queues = end.queues_used - start.queues_used;
  if (queues > 0) {
    report->queue_age_steps =
        static_cast<double>(end.queues_age_steps - start.queues_age_steps) / queues;
  }
  report->log_bytes = end.log_bytes;
}

}  // namespace

StageReport MakeStageReport(const TrainConfig& config, const RunPosition& position) {
  const StageConfig& stage = config.stages[position.stage];
  StageReport report;
  report.stage = stage.name;
  report.kind = stage.trains() ? "train" : stage.name;
  report.stage_index = static_cast<int>(position.stage);
  report.num_stages = static_cast<int>(config.stages.size());
  report.step = position.run_step;
  report.stage_step = position.stage_step;
  return report;
}

StepReporter::StepReporter(const TrainConfig& config, const RunPosition& position,
                           int64_t steps_per_epoch, int64_t total_steps, const StageTotals& totals)
    : config_(config),
      stage_(config.stages[position.stage]),
      steps_per_epoch_(steps_per_epoch),
      total_steps_(total_steps),
      interval_start_(position.stage_step),
      interval_totals_(totals),
      epoch_start_(position.stage_step) {}

void StepReporter::Add(const StepOutcome& outcome) {
  interval_.Add(outcome);
  epoch_.Add(outcome);
}

StepReport StepReporter::EndInterval(const RunPosition& position, double factor,
                                     const StageTotals& totals) {
  StepReport report;
  report.stage = stage_.name;
  report.stage_index = static_cast<int>(position.stage);
  report.step = position.run_step;
  report.stage_step = position.stage_step;
  report.stage_steps = total_steps_;
  report.epoch = (position.stage_step - 1) / steps_per_epoch_ + 1;
  report.loss = interval_.Loss();
  report.accuracy = interval_.Accuracy();
  report.learning_rate = stage_.optimizer.learning_rate * factor;
  if (FindStageSpec(stage_.name)->trains_prototypes()) {
    report.row_learning_rate = RowLearningRate(stage_, factor);
  }
  report.seconds = interval_watch_.Seconds();
  report.images = (position.stage_step - interval_start_) * stage_.batch_size;
  report.images_per_second = report.images / report.seconds;
  SetFigures(interval_totals_, totals, &report);
  report.skipped_steps = position.skipped_steps;
  if (config_.precision == "fp16") report.loss_scale = totals.loss_scale;

  interval_ = TrainingMeans();
  interval_watch_ = Stopwatch();
  interval_start_ = position.stage_step;
  interval_totals_ = totals;
  return report;
}

EpochReport StepReporter::EndEpoch(const RunPosition& position) {
  EpochReport report;
  report.stage = stage_.name;
  report.stage_index = static_cast<int>(position.stage);
  report.step = position.run_step;
  report.epoch = position.stage_step / steps_per_epoch_;
  report.loss = epoch_.Loss();
  report.accuracy = epoch_.Accuracy();
  report.seconds = epoch_watch_.Seconds();
  report.images_per_second =
      (position.stage_step - epoch_start_) * stage_.batch_size / report.seconds;

  epoch_ = TrainingMeans();
  epoch_watch_ = Stopwatch();
  epoch_start_ = position.stage_step;
  return report;
}

}  // namespace protopage
