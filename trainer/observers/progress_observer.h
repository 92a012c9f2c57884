// ProgressObserver: one console line on stderr.
//
//   dominant 3/4  step 1,200/5,070 (24%)  epoch 4  loss 3.412  acc 0.571
//   1,240 images/s  waiting: images 1%, rows 0%  ETA 5m12s
//
// (one line). On a terminal it is redrawn; in a log it is a plain line at most every
// `log_interval_seconds`, and the first and the last step of a stage are always shown. Messages,
// stages, evaluations and checkpoints are log lines of their own.
#ifndef PROTOPAGE_TRAINER_OBSERVERS_PROGRESS_OBSERVER_H_
#define PROTOPAGE_TRAINER_OBSERVERS_PROGRESS_OBSERVER_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "protopage/trainer/observers/observer.h"

namespace protopage {

// Replaceable for tests; the defaults are the real console and clock.
struct ProgressOptions {
  double terminal_interval_seconds = 0.1;
  double log_interval_seconds = 10;
  bool is_terminal;
  std::function<double()> clock;                // Seconds, monotonic.
  std::function<void(absl::string_view)> draw;  // DrawProgress.
  std::function<void(absl::string_view)> log;   // LogInfo.
  std::function<void(absl::string_view)> warn;  // LogWarning.
  ProgressOptions();
};

class ProgressObserver : public TrainObserver {
 public:
  explicit ProgressObserver(ProgressOptions options = ProgressOptions());

  absl::Status OnMessage(const MessageReport& report) override;
  absl::Status OnProgress(const ProgressReport& report) override;
  absl::Status OnStageStart(const StageReport& report) override;
  absl::Status OnStep(const StepReport& report) override;
  absl::Status OnEvaluation(const EvaluationReport& report) override;
  absl::Status OnCheckpoint(const CheckpointReport& report) override;
  absl::Status OnStageEnd(const StageReport& report) override;

 private:
  // Updates the pace at `now`.
  void UpdatePace(double now, int64_t stage_step);
  // Seconds to the end of the stage, from the recent pace; kUnknown at first.
  double SecondsLeft(const StepReport& report) const;
  std::string StepLine(const StepReport& report) const;
  void ClearProgress();

  const ProgressOptions options_;
  StageReport stage_;
  double last_drawn_ = 0;
  bool drawn_in_stage_ = false;
  bool progress_drawn_ = false;  // A line of OnProgress is on the screen.
  // The pace: an average of seconds per step that forgets with a time constant of about half a
  // minute.
  double last_report_time_ = 0;
  int64_t last_report_step_ = 0;
  double seconds_per_step_ = kUnknown;
};

// "45s", "5m12s", "3h05m", "2d04h".
std::string FormatDuration(double seconds);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_PROGRESS_OBSERVER_H_
