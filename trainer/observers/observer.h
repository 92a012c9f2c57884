// What a training run tells the outside. The trainer fills plain reports and
// calls observers; libraries never print, observers do (console, metrics.jsonl,
// TensorBoard, report.html).
//
//   class Printer : public TrainObserver {
//     absl::Status OnStep(const StepReport& report) override {
//       std::cerr << report.step << ": " << report.loss << "\n";
//       return absl::OkStatus();
//     }
//   };
//
//   ObserverList observers;
//   observers.Add(std::make_unique<Printer>());
//   PROTOPAGE_RETURN_IF_ERROR(observers.OnStep({.stage = "source", .step = 1}));
//
// All calls come from the thread that runs the training loop, in the order of
// the run. Counting: `step` counts the optimizer steps of the whole run, over
// all stages and resumes, `stage_step` those of the stage; both include the
// step that is reported, so the first report of a run says 1. A value that is
// not known or does not apply is NaN and is left out of files and lines.
#ifndef PROTOPAGE_TRAINER_OBSERVERS_OBSERVER_H_
#define PROTOPAGE_TRAINER_OBSERVERS_OBSERVER_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace protopage {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// The start or the end of a stage.
struct StageReport {
  std::string stage = {};  // Its name in the config.
  std::string kind = {};   // What it does: "train", "imprint", "evaluate", ...
  int stage_index = 0;     // From 0.
  int num_stages = 1;
  int64_t step = 0;         // Steps of the run done so far.
  int64_t stage_step = 0;   // Steps of the stage done so far (not 0: resumed).
  int64_t stage_steps = 0;  // Steps that the stage has; 0: it does not train.
  int64_t steps_per_epoch = 0;
  double seconds = kUnknown;  // At the end: wall time of the stage.
};

// One logged step. Loss, accuracy, rates, waits and cache figures cover the
// steps since the last logged one (the trainer logs every n-th step).
struct StepReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  int64_t stage_step = 0;
  int64_t stage_steps = 0;
  int64_t epoch = 0;                    // Of the stage, from 1.
  double loss = kUnknown;               // Mean over steps.
  double accuracy = kUnknown;           // In [0, 1], over the active classes, no margin.
  double learning_rate = kUnknown;      // Of the net.
  double row_learning_rate = kUnknown;  // Of the prototype rows.
  double seconds = kUnknown;            // Wall time covered by this report.
  int64_t images = 0;                   // Images trained on in that time.
  double images_per_second = kUnknown;
  double wait_images_seconds = kUnknown;  // Of `seconds`, waiting for images,
  double wait_rows_seconds = kUnknown;    // and for prototype rows,
  double wait_plan_seconds = kUnknown;    // and for the planner.
  int64_t rows_paged = 0;                 // Rows read from disk in that time.
  double cache_hit_rate = kUnknown;       // Row lookups found in memory, [0, 1].
  double index_recall = kUnknown;         // Of the class index, estimated, in the stage so far.
  double index_seconds = kUnknown;        // Of `seconds`, updating it, beside training.
  double queue_age_steps = kUnknown;      // Of the candidate queues used in that time, mean.
  int64_t log_bytes = 0;                  // What the log of the rows takes on disk now; 0: none.
  double loss_scale = kUnknown;           // In fp16: what gradients are scaled with now.
  int64_t skipped_steps = 0;              // Not finite, in the whole run so far.
  // More that a stage wants to show: (name, value), shown after the others.
  std::vector<std::pair<std::string, double>> extra = {};
};

// The end of an epoch; means over its steps.
struct EpochReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  int64_t epoch = 0;  // From 1.
  double loss = kUnknown;
  double accuracy = kUnknown;
  double images_per_second = kUnknown;
  double seconds = kUnknown;
};

struct EvaluationReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  // Everything that was measured, as printed by `--json`.
  nlohmann::ordered_json results = nlohmann::ordered_json::object();
  // The figures to plot and to compare between evaluations, in display order:
  // ("closed_set/top1", 0.574).
  std::vector<std::pair<std::string, double>> scalars = {};
};

// A checkpoint that is complete and durable. A run resumed from it goes on with stage
// `stage_index`: the next one, when it was taken at a stage's end.
struct CheckpointReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  std::string path = {};
  double seconds = kUnknown;  // How long training stood still for it.
};

// An error ends the run: metrics that cannot be written are not lost silently.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual absl::Status OnStageStart(const StageReport& report);
  virtual absl::Status OnStep(const StepReport& report);
  virtual absl::Status OnEpochEnd(const EpochReport& report);
  virtual absl::Status OnEvaluation(const EvaluationReport& report);
  virtual absl::Status OnCheckpoint(const CheckpointReport& report);
  virtual absl::Status OnStageEnd(const StageReport& report);
};

// Calls several observers, in the order they were added; stops at the first
// error.
class ObserverList : public TrainObserver {
 public:
  void Add(std::unique_ptr<TrainObserver> observer);
  absl::Status OnStageStart(const StageReport& report) override;
  absl::Status OnStep(const StepReport& report) override;
  absl::Status OnEpochEnd(const EpochReport& report) override;
  absl::Status OnEvaluation(const EvaluationReport& report) override;
  absl::Status OnCheckpoint(const CheckpointReport& report) override;
  absl::Status OnStageEnd(const StageReport& report) override;

 private:
  std::vector<std::unique_ptr<TrainObserver>> observers_;
};

// The figures of a report as (name, value), unknown ones left out: the one list
// behind metrics.jsonl and TensorBoard. Names are those of the fields.
std::vector<std::pair<std::string, double>> Scalars(const StepReport& report);
std::vector<std::pair<std::string, double>> Scalars(const EpochReport& report);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_OBSERVER_H_
