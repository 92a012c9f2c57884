// TrainingLoop: runs one training stage, from where the run stands to the stage's end: steps, the
// schedule, reports, and the moments for checkpoints.
//
//   TrainingLoop loop(config, session, observers, position, hooks);
//   PROTOPAGE_RETURN_IF_ERROR(loop.Begin(std::move(trainer), resume));
//   PROTOPAGE_ASSIGN_OR_RETURN(const bool finished, loop.Run());
//
// The steps themselves are the StageTrainer's, and the content of a checkpoint is the caller's.
#ifndef PROTOPAGE_TRAINER_RUN_TRAINING_LOOP_H_
#define PROTOPAGE_TRAINER_RUN_TRAINING_LOOP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/stopwatch.h"
#include "protopage/model/checkpoint.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/step_reporter.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/stage_trainer.h"

namespace protopage {

struct TrainingHooks {
  // Saves a checkpoint in the middle of the stage. `state` has the position, the trainer's state
  // and the epoch so far; `sections` are all arrays of its model file.
  std::function<absl::Status(CheckpointState state, const std::vector<CheckpointSection>& sections)>
      save;
  // Called after max_bad_steps in a row, the last with `loss`; returns the error to end with.
  std::function<absl::Status(int64_t bad_steps, double loss)> give_up;
};

// The checkpoint in the middle of the stage that a resumed run continues from.
struct StageResume {
  FileSystem* file_system = nullptr;
  std::string model_path;
  const CheckpointState* state = nullptr;
};

class TrainingLoop {
 public:
  // All arguments must outlive the loop, which moves `position` on with each step.
  TrainingLoop(const TrainConfig& config, Session* session, TrainObserver* observers,
               RunPosition* position, TrainingHooks hooks);

  // Makes the stage's schedule, loads the checkpoint to resume from, if any, and reports the start.
  // Errors: those of the checkpoint and of the observers.
  absl::Status Begin(std::unique_ptr<StageTrainer> trainer,
                     const std::optional<StageResume>& resume);

  // Trains to the end of the stage, and returns true; or until a stop signal, saves a checkpoint
  // and returns false. Errors: those of the trainer, the observers and the hooks.
  absl::StatusOr<bool> Run();

 private:
  const StageConfig& stage() const { return config_.stages[position_->stage]; }
  bool stage_ends() const { return position_->stage_step == total_steps_; }
  bool epoch_ends() const { return position_->stage_step % steps_per_epoch_ == 0; }

  // One step, and its report if it is one to log.
  absl::Status Step();
  absl::Status CountStep(const StepOutcome& outcome);
  absl::Status EndEpoch();
  bool CheckpointIsDue() const;
  absl::Status Save();
  // All that a checkpoint's model file holds in the middle of the stage.
  std::vector<CheckpointSection> Sections();

  const TrainConfig& config_;
  Session* const session_;
  TrainObserver* const observers_;
  RunPosition* const position_;
  const TrainingHooks hooks_;

  std::unique_ptr<StageTrainer> trainer_;
  std::unique_ptr<Schedule> schedule_;
  std::unique_ptr<StepReporter> reporter_;
  int64_t steps_per_epoch_ = 0;
  int64_t total_steps_ = 0;
  int64_t bad_steps_ = 0;  // In a row.
  // Since the loop began; overflows are not counted as skipped.
  int64_t steps_ = 0, skipped_ = 0;
  Stopwatch since_saved_;  // Since the last checkpoint, or the stage's start.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_TRAINING_LOOP_H_
