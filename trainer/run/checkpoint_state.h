// CheckpointState: state.json of a checkpoint, which holds all that its model file and its
// prototypes do not: the position of the run, its evaluations so far, the state of the stage.
//
//   CheckpointState state;
//   state.position.run_step = 120;
//   PROTOPAGE_RETURN_IF_ERROR(run.CommitCheckpoint(120, ToJson(state), /*keep=*/2));
//   PROTOPAGE_ASSIGN_OR_RETURN(state, ReadCheckpointState(run, folder, num_stages));
#ifndef PROTOPAGE_TRAINER_RUN_CHECKPOINT_STATE_H_
#define PROTOPAGE_TRAINER_RUN_CHECKPOINT_STATE_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/types.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/stage_images.h"
#include "protopage/trainer/stages/stage_trainer.h"

namespace protopage {

// Where a run stands between two steps.
struct RunPosition {
  int64_t stage = 0;
  int64_t stage_step = 0;  // Steps of the stage that are done.
  int64_t run_step = 0;    // Steps of the run that are done.
  int64_t skipped_steps = 0;
};

// Mean loss and accuracy over the steps that were not skipped.
struct TrainingMeans {
  // Sums over `steps`.
  double loss = 0;
  double accuracy = 0;
  int64_t steps = 0;

  void Add(const StepOutcome& outcome) {
    if (outcome.skipped) return;
    loss += outcome.loss;
    accuracy += outcome.accuracy;
    ++steps;
  }
  // NaN without a step.
  double Loss() const { return Mean(loss); }
  double Accuracy() const { return Mean(accuracy); }

 private:
  double Mean(double sum) const {
    return steps > 0 ? sum / steps : std::numeric_limits<double>::quiet_NaN();
  }
};

struct CheckpointState {
  RunPosition position;
  int64_t head_classes = 0;  // 0: no head.
  bool prototypes = false;
  std::vector<ClassId> unindexed;  // Classes trained since the class index was updated.
  std::vector<EvalReport> reports;
  int64_t metrics_bytes = -1;  // Of metrics.jsonl; -1 in checkpoints of earlier versions.
  // In the middle of a stage only: StageTrainer::SaveState, the epoch and the interval of logged
  // steps so far, and the images that the stage trains on.
  nlohmann::json trainer;
  TrainingMeans epoch;
  TrainingMeans interval;
  StageImages images;
  int64_t bad_steps = 0;  // The last ones in a row that were not finite.
};

nlohmann::ordered_json ToJson(const CheckpointState& state);

// Reads the state of the checkpoint in `folder`, of a run with `num_stages` stages. Errors:
// NotFound, DataLoss (no JSON, a missing key, a number out of range).
absl::StatusOr<CheckpointState> ReadCheckpointState(const RunDirectory& run,
                                                    const std::string& folder, int64_t num_stages);

// The list of evaluations that results.json holds, too.
nlohmann::ordered_json ReportsToJson(const std::vector<EvalReport>& reports);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_CHECKPOINT_STATE_H_
