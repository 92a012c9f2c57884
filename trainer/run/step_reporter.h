// StepReporter: makes the reports of a training stage from its steps: one for each interval of
// logged steps, one for each epoch.
//
//   StepReporter reporter(config, position, steps_per_epoch, total, trainer->totals());
//   ...  // Train a step and count it in position.
//   reporter.Add(outcome);
//   return observers.OnStep(reporter.EndInterval(position, factor, trainer->totals()));
#ifndef PROTOPAGE_TRAINER_RUN_STEP_REPORTER_H_
#define PROTOPAGE_TRAINER_RUN_STEP_REPORTER_H_

#include <cstdint>

#include "protopage/base/stopwatch.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/stages/stage_totals.h"
#include "protopage/trainer/stages/stage_trainer.h"

namespace protopage {

// The report of the start or the end of the stage at `position`, without its length and its time.
StageReport MakeStageReport(const TrainConfig& config, const RunPosition& position);

class StepReporter {
 public:
  // `position`: before the first step. `totals`: of the stage's trainer then. `config` must outlive
  // the reporter.
  StepReporter(const TrainConfig& config, const RunPosition& position, int64_t steps_per_epoch,
               int64_t total_steps, const StageTotals& totals);

  void Add(const StepOutcome& outcome);

  // The report of the interval that ends at `position`, and begins the next one. `factor`: of the
  // schedule in the last step.
  StepReport EndInterval(const RunPosition& position, double factor, const StageTotals& totals);
  // The report of the epoch that ends at `position`, and begins the next one.
  EpochReport EndEpoch(const RunPosition& position);

  // The epoch and the interval so far. Where a run goes on, they have steps from before.
  const TrainingMeans& epoch() const { return epoch_; }
  const TrainingMeans& interval() const { return interval_; }
  void GoOn(const TrainingMeans& epoch, const TrainingMeans& interval) {
    epoch_ = epoch;
    interval_ = interval;
  }

 private:
  const TrainConfig& config_;
  const StageConfig& stage_;
  const int64_t steps_per_epoch_;
  const int64_t total_steps_;

  TrainingMeans interval_;
  Stopwatch interval_watch_;
  int64_t interval_start_;  // A stage_step, as below.
  StageTotals interval_totals_;

  TrainingMeans epoch_;
  Stopwatch epoch_watch_;
  int64_t epoch_start_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_STEP_REPORTER_H_
