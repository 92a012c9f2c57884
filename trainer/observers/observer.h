// TrainObserver: hears the events of a training run. The trainer fills plain reports and calls
// observers; only observers print or write (console, metrics.jsonl, TensorBoard, report.html).
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
// All calls come from the thread that runs the training loop, in the order of the run. `step`
// counts the optimizer steps of the whole run, over all stages and resumes, and `stage_step` those
// of the stage; both include the step that is reported, so the first report of a run says 1. A
// value that is not known or does not apply is NaN and is left out of files and lines.
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
#include "absl/strings/string_view.h"
#include "protopage/base/logging.h"

namespace protopage {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// Hears the figures of a report, each with the name that metrics.jsonl and TensorBoard give it.
class FigureVisitor {
 public:
  virtual ~FigureVisitor() = default;
  virtual void Number(absl::string_view name, double value) = 0;  // NaN: not known.
  virtual void Integer(absl::string_view name, int64_t value) = 0;
};

// A line for the user.
struct MessageReport {
  LogLevel level = LogLevel::kInfo;
  std::string text = {};
};

// How far a piece of work has come that takes no optimizer steps.
struct ProgressReport {
  std::string work = {};  // "imprint"
  std::string unit = {};  // "images"
  int64_t done = 0;
  int64_t total = 0;
};

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

// One logged step. Loss, accuracy, rates, waits and cache figures cover the interval since the last
// logged step (the trainer logs every n-th step).
struct StepReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  int64_t stage_step = 0;
  int64_t stage_steps = 0;
  int64_t epoch = 0;   // Of the stage, from 1.
  int64_t images = 0;  // Trained on in the interval.

  // A new figure is a field here and a line in Figures.
  double loss = kUnknown;               // Mean over steps.
  double accuracy = kUnknown;           // In [0, 1], over the active classes, no margin.
  double learning_rate = kUnknown;      // Of the net.
  double row_learning_rate = kUnknown;  // Of the prototype rows.
  double images_per_second = kUnknown;
  double seconds = kUnknown;              // Wall time of the interval.
  double wait_images_seconds = kUnknown;  // Of `seconds`, waiting for images,
  double wait_rows_seconds = kUnknown;    // and for prototype rows,
  double wait_plan_seconds = kUnknown;    // and for the planner.
  int64_t rows_paged = 0;                 // Rows read from disk.
  double cache_hit_rate = kUnknown;       // Row lookups found in memory, [0, 1].
  double index_recall = kUnknown;         // Of the class index, estimated, in the stage so far.
  double index_seconds = kUnknown;        // Updating the index, concurrently with training.
  double queue_age_steps = kUnknown;      // Of the candidate queues used, mean.
  double loss_scale = kUnknown;           // In fp16: the factor of gradients now.
  int64_t log_bytes = 0;                  // Of the log of the rows on disk now; 0: none.
  int64_t skipped_steps = 0;              // Not finite, in the whole run so far.
  // Further figures of a stage: (name, value), shown after the others.
  std::vector<std::pair<std::string, double>> extra = {};

  // Visits the figures in the order of metrics.jsonl.
  void Figures(FigureVisitor& v) const;
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

  void Figures(FigureVisitor& v) const;
};

struct EvaluationReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  // All results, as printed by `--json`.
  nlohmann::ordered_json results = nlohmann::ordered_json::object();
  // The figures to plot and to compare between evaluations, in display order:
  // ("closed_set/top1", 0.574).
  std::vector<std::pair<std::string, double>> scalars = {};
};

// A checkpoint that is complete and durable. A run resumed from it continues with stage
// `stage_index`, which is the next one if the checkpoint was taken at a stage's end.
struct CheckpointReport {
  std::string stage = {};
  int stage_index = 0;
  int64_t step = 0;
  std::string path = {};
  double seconds = kUnknown;  // For which training paused.
};

// An error ends the run: metrics that cannot be written are not lost silently.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual absl::Status OnMessage(const MessageReport& report);
  virtual absl::Status OnProgress(const ProgressReport& report);
  virtual absl::Status OnStageStart(const StageReport& report);
  virtual absl::Status OnStep(const StepReport& report);
  virtual absl::Status OnEpochEnd(const EpochReport& report);
  virtual absl::Status OnEvaluation(const EvaluationReport& report);
  virtual absl::Status OnCheckpoint(const CheckpointReport& report);
  virtual absl::Status OnStageEnd(const StageReport& report);
};

// Calls several observers, in the order they were added; stops at the first error.
class ObserverList : public TrainObserver {
 public:
  void Add(std::unique_ptr<TrainObserver> observer);
  // `observer` must outlive the list.
  void Add(TrainObserver* observer);

  absl::Status OnMessage(const MessageReport& report) override;
  absl::Status OnProgress(const ProgressReport& report) override;
  absl::Status OnStageStart(const StageReport& report) override;
  absl::Status OnStep(const StepReport& report) override;
  absl::Status OnEpochEnd(const EpochReport& report) override;
  absl::Status OnEvaluation(const EvaluationReport& report) override;
  absl::Status OnCheckpoint(const CheckpointReport& report) override;
  absl::Status OnStageEnd(const StageReport& report) override;

 private:
  std::vector<std::unique_ptr<TrainObserver>> owned_;
  std::vector<TrainObserver*> observers_;  // All of them.
};

// The known figures of a report as (name, value).
std::vector<std::pair<std::string, double>> Scalars(const StepReport& report);
std::vector<std::pair<std::string, double>> Scalars(const EpochReport& report);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_OBSERVER_H_
