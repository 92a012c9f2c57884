#include "protopage/trainer/run/trainer.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/json_text.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/model/checkpoint.h"
#include "protopage/trainer/configs/config_changes.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/observers/progress_observer.h"
#include "protopage/trainer/run/checkpoint_reader.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/init_from.h"
#include "protopage/trainer/run/recovery.h"
#include "protopage/trainer/run/run_checkpoint.h"
#include "protopage/trainer/run/run_classes.h"
#include "protopage/trainer/run/run_observers.h"
#include "protopage/trainer/run/stage_images.h"
#include "protopage/trainer/run/step_reporter.h"
#include "protopage/trainer/run/stop_signals.h"
#include "protopage/trainer/run/training_loop.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/stages/open_stages.h"
#include "protopage/trainer/stages/stage_kinds.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

constexpr char kResultsFile[] = "results.json";

// One attempt at a run: the order of its stages, and the checkpoints between them.
class Run {
 public:
  // `console` must outlive the run.
  Run(const TrainConfig& config, const TrainOptions& options, TrainObserver* console)
      : config_(config),
        options_(options),
        fs_(options.file_system != nullptr ? options.file_system : DefaultFileSystem()) {
    observers_.Add(console);
  }

  absl::StatusOr<TrainResult> Go();
  // Go failed, but another attempt would train with the lower learning rates of recovery.json.
  bool wants_retry() const { return wants_retry_; }

 private:
  const StageConfig& stage() const { return config_.stages[position_.stage]; }
  int64_t num_stages() const { return static_cast<int64_t>(config_.stages.size()); }
  absl::Status Say(std::string text) {
    return observers_.OnMessage({LogLevel::kInfo, std::move(text)});
  }
  // What the directory found and left alone.
  absl::Status SayNotes();

  // Everything that may fail for want of data, models or rights, before anything is written.
  absl::Status Prepare();
  absl::Status OpenDirectory();
  absl::Status FindCheckpoint();
  // Checks the changes of the config since the run began, and says them.
  absl::Status CheckConfig();
  // Reads the checkpoint that was found. Later ones are removed if the user named this one.
  absl::Status Restore();
  absl::Status InitializeNet();
  // Finds out which classes the run knows, before images are opened.
  absl::Status IdentifyClasses();
  // Checks that the stage in progress has the images that it began with.
  absl::Status CheckStageImages();
  // Makes the directory of a new run, or cleans that of a resumed one.
  absl::Status BeginDirectory();
  absl::Status RunStage();
  absl::Status RunTraining(const StageKind& kind);
  absl::Status RunWithoutSteps(const StageKind& kind);
  absl::Status AddEvaluation(EvalReport evaluation);
  // `state` has the position, and the state of a running stage; `stage` is reported.
  absl::Status Save(CheckpointState state, const std::vector<CheckpointSection>& sections,
                    const std::string& stage);
  // Releases the files of prototypes that no kept checkpoint needs; as PrototypeSet::Retire.
  absl::Status RetirePrototypes(bool all);
  absl::Status Interrupted(const std::string& when) const;
  // The error of a stage, which the run can go on after, with the way to do that.
  absl::Status WithWayOn(const absl::Status& status) const;
  // The error for too many bad steps in a row; a retry of the run from its last checkpoint follows
  // the first one.
  absl::Status BadSteps(int64_t count, double loss);

  TrainConfig config_;      // With recovery.json's learning rates.
  TrainConfig old_config_;  // Of a resumed run, from its config.json.
  const TrainOptions options_;
  FileSystem* const fs_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<Session> session_;
  std::shared_ptr<ClassIdentity> classes_;
  ObserverList observers_;
  RunPosition position_;
  double recovery_factor_ = 1;  // By which recovery.json changed all learning rates.
  bool wants_retry_ = false;
  bool damage_said_ = false;  // Of the oldest checkpoint.
  // The checkpoint that a resumed run continues from; "" when it starts from the beginning.
  std::string checkpoint_;
  CheckpointState resumed_;
  nlohmann::ordered_json changed_config_;  // To be written to config.json; null when it has not.
  TrainResult result_;
};

absl::Status Run::Prepare() {
  PROTOPAGE_RETURN_IF_ERROR(ValidateConfig(&config_));
  if (options_.resume) {
    PROTOPAGE_RETURN_IF_ERROR(OpenDirectory());
    PROTOPAGE_RETURN_IF_ERROR(FindCheckpoint());
    PROTOPAGE_RETURN_IF_ERROR(CheckConfig());
    PROTOPAGE_ASSIGN_OR_RETURN(recovery_factor_, ReadRecovery(*directory_));
    ScaleLearningRates(recovery_factor_, &config_);
  } else {
    PROTOPAGE_RETURN_IF_ERROR(RunDirectory::CheckFree(fs_, options_.directory));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(session_, Session::Create(config_, fs_));
  session_->set_log_options(options_.log);
  session_->set_stop([] { return StopSignals::requested(); });
  if (checkpoint_.empty()) PROTOPAGE_RETURN_IF_ERROR(WithContext(InitializeNet(), "init_from"));
  PROTOPAGE_RETURN_IF_ERROR(IdentifyClasses());
  PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session_, position_.stage));
  PROTOPAGE_RETURN_IF_ERROR(CheckStageImages());
  return CheckNewPrototypes(*session_, position_.stage, resumed_.prototypes);
}

absl::Status Run::OpenDirectory() {
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory directory, RunDirectory::Resume(fs_, options_.directory));
  directory_ = std::make_unique<RunDirectory>(std::move(directory));
  PROTOPAGE_ASSIGN_OR_RETURN(
      old_config_, ReadTrainConfig(directory_->config(), {}, directory_->File("config.json")));
  return absl::OkStatus();
}

absl::Status Run::CheckConfig() {
  const int64_t begun = position_.stage + (position_.stage_step > 0 ? 1 : 0);
  const absl::StatusOr<std::vector<FieldDifference>> changes =
      CheckConfigChanges(old_config_, config_, begun);
  if (!changes.ok()) {
    return WithContext(changes.status(), absl::StrCat("--resume: the config differs from that of ",
                                                      options_.directory));
  }
  nlohmann::ordered_json changed = WriteConfig(config_);
  if (changed != WriteConfig(old_config_)) changed_config_ = std::move(changed);
  if (changes->empty()) return absl::OkStatus();
  return Say(absl::StrCat("--resume: changed, as no step has used it: ", FormatChanges(*changes)));
}

absl::Status Run::BadSteps(int64_t count, double loss) {
  const std::string what =
      absl::StrCat("loss or gradients were not finite in ", count,
                   " steps in a row, the last of them ", position_.run_step, " (loss ", loss, ")");
  if (recovery_factor_ != 1) {
    return absl::AbortedError(absl::StrCat(
        what, ", also with ", recovery_factor_,
        " of the learning rates; lower stages.optimizer.learning_rate and start again"));
  }
  PROTOPAGE_RETURN_IF_ERROR(WriteRecovery(*directory_, kRecoveryFactor, what));
  wants_retry_ = true;
  return absl::AbortedError(what);
}

absl::Status Run::FindCheckpoint() {
  if (options_.checkpoint >= 0) {
    // It is whole: later ones are given up for it.
    PROTOPAGE_ASSIGN_OR_RETURN(checkpoint_, directory_->FindCheckpoint(options_.checkpoint));
  } else {
    const absl::StatusOr<std::string> folder = directory_->LatestCheckpoint();
    if (absl::IsNotFound(folder.status())) {
      PROTOPAGE_RETURN_IF_ERROR(CheckNoneLost(*directory_));
      return Say(
          absl::StrCat(options_.directory, " has no checkpoint yet: starting from the beginning"));
    }
    PROTOPAGE_RETURN_IF_ERROR(folder.status());
    checkpoint_ = *folder;
  }
  absl::StatusOr<CheckpointState> state = ReadCheckpointState(
      *directory_, checkpoint_, static_cast<int64_t>(old_config_.stages.size()));
  PROTOPAGE_RETURN_IF_ERROR(directory_->WithWayOut(state.status(), checkpoint_));
  resumed_ = *std::move(state);
  position_ = resumed_.position;
  result_.reports = resumed_.reports;
  return absl::OkStatus();
}

absl::Status Run::Restore() {
  if (options_.checkpoint >= 0) {
    const int64_t number = options_.checkpoint;
    // Nothing is removed before everything can be read.
    PROTOPAGE_RETURN_IF_ERROR(LoadRun(fs_, options_.directory, config_, {number}).status());
    PROTOPAGE_RETURN_IF_ERROR(directory_->RemoveCheckpointsAfter(number));
  }
  PROTOPAGE_RETURN_IF_ERROR(directory_->WithWayOut(
      RestoreSession(resumed_, *directory_, checkpoint_, session_.get()), checkpoint_));
  return Say(absl::StrCat("going on from ", checkpoint_, ", step ", position_.run_step));
}

absl::Status Run::InitializeNet() {
  if (config_.init_from.empty()) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string path, FindModelFile(fs_, config_.init_from));
  PROTOPAGE_ASSIGN_OR_RETURN(
      const LoadByNameResult loaded,
      LoadByName(fs_, path, session_->Sections()[0], {}, session_->backend()));
  return Say(absl::StrCat("the net starts from ", path, " (", loaded.loaded.size(), " arrays)"));
}

absl::Status Run::IdentifyClasses() {
  classes_ = std::make_shared<ClassIdentity>(options_.class_policy,
                                             [this](const std::string& text) { return Say(text); });
  PROTOPAGE_RETURN_IF_ERROR(checkpoint_.empty()
                                ? UseInitFromClasses(fs_, config_, classes_.get())
                                : UseRunClasses(fs_, options_.directory, classes_.get()));
  UseClassIdentity(classes_, session_.get());
  return absl::OkStatus();
}

absl::Status Run::CheckStageImages() {
  if (position_.stage_step == 0) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source,
                             session_->images().Open(StageSplit(config_, position_.stage)));
  const absl::Status same = CheckSameImages(resumed_.images, *source);
  if (same.ok()) return absl::OkStatus();
  const std::string what = absl::StrCat(stage().name, ": ", same.message());
  if (!options_.changed_images && options_.class_policy == ClassPolicy::kExact) {
    return absl::InvalidArgumentError(
        absl::StrCat("--resume: ", what, "; --images=changed goes on with them"));
  }
  const int64_t steps = TotalSteps(stage(), StepsPerEpoch(stage(), *source));
  if (steps < position_.stage_step) {
    return absl::InvalidArgumentError(absl::StrCat("--resume: ", what, ", which make ", steps,
                                                   " steps, and ", position_.stage_step,
                                                   " are done"));
  }
  return observers_.OnMessage({LogLevel::kWarning, what});
}

absl::Status Run::BeginDirectory() {
  if (directory_ != nullptr) {
    PROTOPAGE_RETURN_IF_ERROR(directory_->CleanCheckpoints(config_.keep_checkpoints));
    if (!changed_config_.is_null()) {
      PROTOPAGE_RETURN_IF_ERROR(directory_->WriteConfigJson(changed_config_));
    }
  } else {
    PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory directory,
                               RunDirectory::Create(fs_, options_.directory, WriteConfig(config_)));
    directory_ = std::make_unique<RunDirectory>(std::move(directory));
  }
  if (!checkpoint_.empty()) return absl::OkStatus();
  return RecordRunClasses(fs_, options_.directory, *classes_, session_.get());
}

absl::StatusOr<TrainResult> Run::Go() {
  PROTOPAGE_RETURN_IF_ERROR(Prepare());
  if (!checkpoint_.empty()) PROTOPAGE_RETURN_IF_ERROR(Restore());
  PROTOPAGE_RETURN_IF_ERROR(BeginDirectory());
  PROTOPAGE_RETURN_IF_ERROR(SayNotes());
  PROTOPAGE_RETURN_IF_ERROR(AddFileObservers(*directory_, options_.title, WriteConfig(config_),
                                             checkpoint_.empty() ? nullptr : &resumed_,
                                             &observers_));
  PROTOPAGE_RETURN_IF_ERROR(
      Say(absl::StrCat("run ", options_.directory, " on ", session_->backend()->Description())));
  const StopSignals signals;
  while (position_.stage < num_stages()) {
    PROTOPAGE_RETURN_IF_ERROR(WithWayOn(RunStage()));
    session_->images().KeepOnly(SplitsFrom(config_, position_.stage + 1));
    const std::string done = stage().name;
    ++position_.stage;
    position_.stage_step = 0;
    CheckpointState state;
    state.position = position_;
    PROTOPAGE_RETURN_IF_ERROR(Save(std::move(state), session_->Sections(), done));
    if (StopSignals::requested() && position_.stage < num_stages()) {
      return Interrupted("interrupted");
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(RetirePrototypes(/*all=*/true));
  return std::move(result_);
}

absl::Status Run::SayNotes() {
  for (std::string& note : directory_->TakeNotes()) {
    PROTOPAGE_RETURN_IF_ERROR(observers_.OnMessage({LogLevel::kWarning, std::move(note)}));
  }
  return absl::OkStatus();
}

absl::Status Run::Interrupted(const std::string& when) const {
  return absl::CancelledError(
      absl::StrCat(when, "; saved in ", options_.directory, ", --resume goes on"));
}

absl::Status Run::WithWayOn(const absl::Status& status) const {
  if (status.ok() || absl::IsCancelled(status) || absl::IsAborted(status)) return status;
  const bool saved = directory_->LatestCheckpoint().ok();
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; stage ", stage().name, " ended at step ",
                   position_.run_step, ", --resume goes on from ",
                   saved ? "the last checkpoint" : "the beginning", " when that is mended"));
}

absl::Status Run::RunStage() {
  const Stopwatch stopwatch;
  const StageKind& kind = GetStageKind(stage().name);
  PROTOPAGE_RETURN_IF_ERROR(kind.spec().trains ? RunTraining(kind) : RunWithoutSteps(kind));
  StageReport report = MakeStageReport(config_, position_);
  report.seconds = stopwatch.Seconds();
  return observers_.OnStageEnd(report);
}

absl::Status Run::RunTraining(const StageKind& kind) {
  const bool resumed = position_.stage_step > 0;
  const int64_t first_run_step = position_.run_step - position_.stage_step;
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<StageTrainer> trainer,
                             kind.NewTrainer(session_.get(), position_.stage, first_run_step,
                                             options_.directory, resumed));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source,
                             session_->images().Open(StageSplit(config_, position_.stage)));
  const StageImages images = DescribeImages(*source);
  TrainingHooks hooks;
  hooks.save = [&](CheckpointState state, const std::vector<CheckpointSection>& sections) {
    state.images = images;
    return Save(std::move(state), sections, stage().name);
  };
  hooks.give_up = [this](int64_t bad_steps, double loss) { return BadSteps(bad_steps, loss); };
  TrainingLoop loop(config_, session_.get(), &observers_, &position_, std::move(hooks));
  std::optional<StageResume> resume;
  if (resumed) resume = StageResume{fs_, ModelPath(checkpoint_), &resumed_};
  PROTOPAGE_RETURN_IF_ERROR(loop.Begin(std::move(trainer), resume));
  PROTOPAGE_ASSIGN_OR_RETURN(const bool finished, loop.Run());
  if (finished) return absl::OkStatus();
  return Interrupted(absl::StrCat("interrupted at step ", position_.run_step));
}

absl::Status Run::RunWithoutSteps(const StageKind& kind) {
  PROTOPAGE_RETURN_IF_ERROR(observers_.OnStageStart(MakeStageReport(config_, position_)));
  StageRun run;
  run.session = session_.get();
  run.stage = position_.stage;
  run.directory = options_.directory;
  absl::Status shown;
  run.progress = [&](int64_t done, int64_t total) {
    shown.Update(observers_.OnProgress({kind.spec().name, "images", done, total}));
  };
  absl::StatusOr<StageOutcome> ran = kind.Run(run);
  if (absl::IsCancelled(ran.status()))
    return Interrupted(absl::StrCat("interrupted in ", stage().name));
  PROTOPAGE_ASSIGN_OR_RETURN(StageOutcome outcome, std::move(ran));
  PROTOPAGE_RETURN_IF_ERROR(shown);
  for (std::string& message : outcome.messages) PROTOPAGE_RETURN_IF_ERROR(Say(std::move(message)));
  if (!outcome.evaluation.has_value()) return absl::OkStatus();
  return AddEvaluation(*std::move(outcome.evaluation));
}

absl::Status Run::AddEvaluation(EvalReport evaluation) {
  EvaluationReport report;
  report.stage = stage().name;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.results = ToJson(evaluation);
  report.scalars = ReportScalars(evaluation);
  PROTOPAGE_RETURN_IF_ERROR(observers_.OnEvaluation(report));
  result_.reports.push_back(std::move(evaluation));
  const nlohmann::ordered_json results = {{"evaluations", ToJson(result_)}};
  return WriteFileAtomically(fs_, directory_->File(kResultsFile), SealJson(DumpJson(results)));
}

absl::Status Run::Save(CheckpointState state, const std::vector<CheckpointSection>& sections,
                       const std::string& stage) {
  StopSignals::Saving();
  const Stopwatch stopwatch;
  state.reports = result_.reports;
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder,
                             SaveRunCheckpoint(std::move(state), config_.keep_checkpoints, sections,
                                               directory_.get(), session_.get()));
  PROTOPAGE_RETURN_IF_ERROR(SayNotes());
  PROTOPAGE_RETURN_IF_ERROR(RetirePrototypes(/*all=*/false));
  CheckpointReport report;
  report.stage = stage;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.path = folder;
  report.seconds = stopwatch.Seconds();
  return observers_.OnCheckpoint(report);
}

absl::Status Run::RetirePrototypes(bool all) {
  if (session_->prototypes() == nullptr) return absl::OkStatus();
  const absl::StatusOr<std::string> oldest = directory_->OldestCheckpoint();
  if (absl::IsDataLoss(oldest.status())) {
    // Nobody knows what it needs, so everything is kept until it is no longer the oldest.
    if (std::exchange(damage_said_, true)) return absl::OkStatus();
    return observers_.OnMessage(
        {LogLevel::kWarning, absl::StrCat(oldest.status().message(),
                                          "; the log keeps all rows as long as it is there")});
  }
  PROTOPAGE_RETURN_IF_ERROR(oldest.status());
  return session_->prototypes()->Retire(*oldest, all);
}

}  // namespace

nlohmann::ordered_json ToJson(const TrainResult& result) { return ReportsToJson(result.reports); }

absl::StatusOr<TrainResult> Train(const TrainConfig& config, const TrainOptions& options) {
  ProgressObserver progress;
  TrainObserver* const console = options.console != nullptr ? options.console : &progress;
  {
    Run run(config, options, console);
    absl::StatusOr<TrainResult> result = run.Go();
    if (!run.wants_retry()) return result;
    PROTOPAGE_RETURN_IF_ERROR(console->OnMessage(
        {LogLevel::kWarning,
         absl::StrCat(result.status().message(), "; going back to the last checkpoint with ",
                      kRecoveryFactor, " of the learning rates, as ", kRecoveryFile,
                      " of the run tells")}));
  }
  TrainOptions again = options;
  again.resume = true;
  again.checkpoint = -1;
  return Run(config, again, console).Go();
}

absl::StatusOr<TrainConfig> ReadRunConfig(FileSystem* fs, const std::string& directory,
                                          const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  return ReadTrainConfig(run.config(), set, run.File("config.json"));
}

absl::Status ReadRun(FileSystem* fs, const std::string& directory, const TrainConfig& config,
                     const ReadRunOptions& options,
                     absl::FunctionRef<absl::Status(std::unique_ptr<Session> session)> read) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  return ReadCheckpoint(run, options.checkpoint, [&](const std::string& folder) -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(
        const CheckpointState state,
        ReadCheckpointState(run, folder, static_cast<int64_t>(config.stages.size())));
    PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(config, fs));
    PROTOPAGE_RETURN_IF_ERROR(LoadForReading(state, run, folder, session.get()));
    const std::shared_ptr<ClassIdentity> classes = NewLoggingIdentity(options.class_policy);
    PROTOPAGE_RETURN_IF_ERROR(UseRunClasses(fs, directory, classes.get()));
    UseClassIdentity(classes, session.get());
    return read(std::move(session));
  });
}

absl::StatusOr<std::unique_ptr<Session>> LoadRun(FileSystem* fs, const std::string& directory,
                                                 const TrainConfig& config,
                                                 const ReadRunOptions& options) {
  std::unique_ptr<Session> result;
  PROTOPAGE_RETURN_IF_ERROR(
      ReadRun(fs, directory, config, options, [&](std::unique_ptr<Session> session) {
        result = std::move(session);
        return absl::OkStatus();
      }));
  return result;
}

}  // namespace protopage
