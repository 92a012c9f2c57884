#include "protopage/trainer/run/training_loop.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/run/stop_signals.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {

TrainingLoop::TrainingLoop(const TrainConfig& config, Session* session, TrainObserver* observers,
                           RunPosition* position, TrainingHooks hooks)
    : config_(config),
      session_(session),
      observers_(observers),
      position_(position),
      hooks_(std::move(hooks)) {}

absl::Status TrainingLoop::Begin(std::unique_ptr<StageTrainer> trainer,
                                 const std::optional<StageResume>& resume) {
  trainer_ = std::move(trainer);
  steps_per_epoch_ = trainer_->steps_per_epoch();
  total_steps_ = TotalSteps(stage(), steps_per_epoch_);
  PROTOPAGE_ASSIGN_OR_RETURN(schedule_, Schedule::Create(stage().schedule, total_steps_));
  TrainingMeans epoch, interval;
  if (resume.has_value()) {
    PROTOPAGE_RETURN_IF_ERROR(
        LoadCheckpoint(resume->file_system, resume->model_path, Sections(), session_->backend()));
    PROTOPAGE_RETURN_IF_ERROR(trainer_->RestoreState(resume->state->trainer));
    epoch = resume->state->epoch;
    interval = resume->state->interval;
    bad_steps_ = resume->state->bad_steps;
  }
  PROTOPAGE_RETURN_IF_ERROR(observers_->OnMessage(
      {LogLevel::kInfo, absl::StrCat(stage().name, ": ", trainer_->Description())}));
  StageReport start = MakeStageReport(config_, *position_);
  start.stage_steps = total_steps_;
  start.steps_per_epoch = steps_per_epoch_;
  PROTOPAGE_RETURN_IF_ERROR(observers_->OnStageStart(start));
  reporter_ = std::make_unique<StepReporter>(config_, *position_, steps_per_epoch_, total_steps_,
                                             trainer_->totals());
  reporter_->GoOn(epoch, interval);
  since_saved_ = Stopwatch();
  return absl::OkStatus();
}

absl::StatusOr<bool> TrainingLoop::Run() {
  while (!stage_ends()) {
    PROTOPAGE_RETURN_IF_ERROR(Step());
    if (epoch_ends()) PROTOPAGE_RETURN_IF_ERROR(EndEpoch());
    // The stage's own end is saved by the caller, with the next stage as position.
    if (stage_ends() || !CheckpointIsDue()) continue;
    PROTOPAGE_RETURN_IF_ERROR(Save());
    if (StopSignals::requested()) return false;
  }
  PROTOPAGE_RETURN_IF_ERROR(trainer_->Settle());
  if (skipped_ == 0) return true;
  PROTOPAGE_RETURN_IF_ERROR(observers_->OnMessage(
      {LogLevel::kWarning,
       absl::StrCat(stage().name, ": ", skipped_, " of the ", steps_,
                    " steps trained nothing: loss or gradients were not finite")}));
  return true;
}

absl::Status TrainingLoop::Step() {
  const StepPosition at{position_->run_step, position_->stage_step, total_steps_};
  const double factor = schedule_->Factor(position_->stage_step);
  PROTOPAGE_ASSIGN_OR_RETURN(const StepOutcome outcome, trainer_->Step(at, factor));
  for (std::string& message : trainer_->TakeMessages()) {
    PROTOPAGE_RETURN_IF_ERROR(observers_->OnMessage({LogLevel::kWarning, std::move(message)}));
  }
  PROTOPAGE_RETURN_IF_ERROR(CountStep(outcome));
  const bool is_logged = position_->stage_step % config_.log_every_steps == 0 || stage_ends() ||
                         StopSignals::requested();
  if (!is_logged) return absl::OkStatus();
  return observers_->OnStep(reporter_->EndInterval(*position_, factor, trainer_->totals()));
}

absl::Status TrainingLoop::CountStep(const StepOutcome& outcome) {
  ++position_->run_step;
  ++position_->stage_step;
  ++steps_;
  reporter_->Add(outcome);
  if (!outcome.skipped) {
    bad_steps_ = 0;
    return absl::OkStatus();
  }
  ++position_->skipped_steps;
  // Overflows are part of finding the loss's scale.
  if (outcome.overflowed) return absl::OkStatus();
  ++skipped_;
  if (++bad_steps_ < config_.max_bad_steps) return absl::OkStatus();
  return hooks_.give_up(bad_steps_, outcome.loss);
}

absl::Status TrainingLoop::EndEpoch() {
  const TrainingMeans means = reporter_->epoch();
  PROTOPAGE_RETURN_IF_ERROR(observers_->OnEpochEnd(reporter_->EndEpoch(*position_)));
  if (means.steps > 0) schedule_->EndEpoch(means.Accuracy());
  return absl::OkStatus();
}

bool TrainingLoop::CheckpointIsDue() const {
  const bool log_is_full =
      session_->prototypes() != nullptr && session_->prototypes()->wants_checkpoint();
  const bool by_steps = config_.checkpoint_every_steps > 0 &&
                        position_->stage_step % config_.checkpoint_every_steps == 0;
  const bool by_time = config_.checkpoint_every_minutes > 0 &&
                       since_saved_.Seconds() >= 60 * config_.checkpoint_every_minutes;
  return epoch_ends() || StopSignals::requested() || log_is_full || by_steps || by_time;
}

absl::Status TrainingLoop::Save() {
  since_saved_ = Stopwatch();
  PROTOPAGE_RETURN_IF_ERROR(trainer_->Settle());
  CheckpointState state;
  state.position = *position_;
  state.trainer = trainer_->SaveState();
  state.epoch = reporter_->epoch();
  state.interval = reporter_->interval();
  state.bad_steps = bad_steps_;
  return hooks_.save(std::move(state), Sections());
}

std::vector<CheckpointSection> TrainingLoop::Sections() {
  std::vector<CheckpointSection> sections = session_->Sections();
  for (CheckpointSection& section : trainer_->Sections()) sections.push_back(std::move(section));
  Schedule* const schedule = schedule_.get();
  sections.push_back({"schedule", [schedule](StateVisitor& v) { schedule->State(v); }});
  return sections;
}

}  // namespace protopage
