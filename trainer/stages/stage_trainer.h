// StageTrainer: one step of a training stage. The loop around it (epochs, schedules, reports,
// checkpoints) is trainer/run/training_loop.h.
#ifndef PROTOPAGE_TRAINER_STAGES_STAGE_TRAINER_H_
#define PROTOPAGE_TRAINER_STAGES_STAGE_TRAINER_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/model/checkpoint.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/stage_totals.h"

namespace protopage {

// The position of a step: `run_step` counts the steps of the run over all stages, and keys the
// random numbers; `stage_step` counts those of the stage. Both start at 0. `end` is the stage_step
// at which the stage ends.
struct StepPosition {
  int64_t run_step = 0;
  int64_t stage_step = 0;
  int64_t end = 0;
};

struct StepOutcome {
  double loss = 0;
  double accuracy = 0;
  // Loss or gradients were not finite: nothing was applied.
  bool skipped = false;
  // Only the scaled gradients were not finite: part of the search for the scale of the loss, and no
  // bad step.
  bool overflowed = false;
};

class StageTrainer {
 public:
  virtual ~StageTrainer() = default;

  virtual int64_t steps_per_epoch() const = 0;
  // One line for the log: the data and the classes that the stage trains.
  virtual std::string Description() const = 0;
  // Trains one step with the configured learning rates times `factor`. Positions come in order.
  virtual absl::StatusOr<StepOutcome> Step(const StepPosition& position, double factor) = 0;
  // Waits for the stage's background work and cancels what was queued of the next step. To be
  // called before a checkpoint and at the end of the stage.
  virtual absl::Status Settle() { return absl::OkStatus(); }
  virtual StageTotals totals() const = 0;
  // Warnings for the user since the last call.
  virtual std::vector<std::string> TakeMessages() { return {}; }

  // In addition to the session's: optimizer and loss.
  virtual std::vector<CheckpointSection> Sections() = 0;
  virtual nlohmann::json SaveState() const { return nullptr; }
  virtual absl::Status RestoreState(const nlohmann::json&) { return absl::OkStatus(); }
};

// `stage`: its position in the session's config, which OpenStages has checked. `first_run_step`:
// the run_step of stage_step 0. `resumed`: the session holds the state of a checkpoint in the
// middle of this stage. Errors: InvalidArgument (config), those of the data.
absl::StatusOr<std::unique_ptr<StageTrainer>> NewSourceTrainer(Session* session, int64_t stage,
                                                               int64_t first_run_step,
                                                               bool resumed);
absl::StatusOr<std::unique_ptr<StageTrainer>> NewDominantTrainer(Session* session, int64_t stage,
                                                                 int64_t first_run_step,
                                                                 const std::string& directory,
                                                                 bool resumed);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGE_TRAINER_H_
