#include "protopage/trainer/run/trainer.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/observers/progress_observer.h"
#include "protopage/trainer/observers/report_writer.h"
#include "protopage/trainer/observers/tensorboard_writer.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/stages/imprint.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

constexpr char kModelFile[] = "model.h5";
constexpr char kMetricsFile[] = "metrics.jsonl";
constexpr char kResultsFile[] = "results.json";
// Written when a run goes back to its last checkpoint after losses that were not finite.
constexpr char kRecoveryFile[] = "recovery.json";
constexpr double kRecoveryFactor = 0.1;

std::atomic<bool> stop_requested{false};

void OnStopSignal(int signal) {
  stop_requested = true;
  std::signal(signal, SIG_DFL);  // The next one ends the process.
}

// Catches SIGINT and SIGTERM while it lives.
class StopSignals {
 public:
  StopSignals() {
    stop_requested = false;
    old_interrupt_ = std::signal(SIGINT, OnStopSignal);
    old_terminate_ = std::signal(SIGTERM, OnStopSignal);
  }
  ~StopSignals() {
    std::signal(SIGINT, old_interrupt_);
    std::signal(SIGTERM, old_terminate_);
  }

 private:
  void (*old_interrupt_)(int);
  void (*old_terminate_)(int);
};

// Where a run stands between two steps.
struct RunPosition {
  int64_t stage = 0;
  int64_t stage_step = 0;  // Steps of the stage that are done.
  int64_t run_step = 0;    // Steps of the run that are done.
  int64_t skipped_steps = 0;
};

// Mean loss and accuracy over steps that were not skipped.
struct Means {
  double loss = 0, accuracy = 0;
  int64_t steps = 0;

  void Add(const StepOutcome& outcome) {
    if (outcome.skipped) return;
    loss += outcome.loss;
    accuracy += outcome.accuracy;
    ++steps;
  }
  double Loss() const { return steps > 0 ? loss / steps : kUnknown; }
  double Accuracy() const { return steps > 0 ? accuracy / steps : kUnknown; }
};

// state.json of a checkpoint: all that the model file and the prototypes do not hold.
struct CheckpointState {
  RunPosition position;
  int64_t head_classes = 0;  // 0: no head.
  bool prototypes = false;
  std::vector<ClassId> unindexed;
  std::vector<EvalReport> reports;
  // In the middle of a stage only.
  nlohmann::json trainer;
  Means epoch;
};

nlohmann::ordered_json ToJson(const CheckpointState& state) {
  nlohmann::ordered_json json;
  json["stage"] = state.position.stage;
  json["stage_step"] = state.position.stage_step;
  json["run_step"] = state.position.run_step;
  json["skipped_steps"] = state.position.skipped_steps;
  json["head_classes"] = state.head_classes;
  json["prototypes"] = state.prototypes;
  if (state.prototypes) json["unindexed"] = state.unindexed;
  json["reports"] = ToJson(TrainResult{state.reports});
  if (state.position.stage_step > 0) {
    json["trainer"] = state.trainer;
    json["epoch_loss_sum"] = state.epoch.loss;
    json["epoch_accuracy_sum"] = state.epoch.accuracy;
    json["epoch_steps"] = state.epoch.steps;
  }
  return json;
}

absl::StatusOr<CheckpointState> ReadState(const RunDirectory& run, const std::string& folder,
                                          const TrainConfig& config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json json, run.ReadCheckpointState(folder));
  const auto damaged = [&](absl::string_view why) {
    return absl::DataLossError(absl::StrCat(folder, "/state.json is damaged: ", why));
  };
  CheckpointState state;
  // What is missing or of another type is the library's exception; it stops here.
  try {
    json.at("stage").get_to(state.position.stage);
    json.at("stage_step").get_to(state.position.stage_step);
    json.at("run_step").get_to(state.position.run_step);
    json.at("skipped_steps").get_to(state.position.skipped_steps);
    json.at("head_classes").get_to(state.head_classes);
    json.at("prototypes").get_to(state.prototypes);
    if (state.prototypes) json.at("unindexed").get_to(state.unindexed);
    for (const nlohmann::json& report : json.at("reports")) {
      PROTOPAGE_ASSIGN_OR_RETURN(EvalReport evaluation, EvalReportFromJson(report));
      state.reports.push_back(std::move(evaluation));
    }
    if (state.position.stage_step > 0) {
      state.trainer = json.at("trainer");
      json.at("epoch_loss_sum").get_to(state.epoch.loss);
      json.at("epoch_accuracy_sum").get_to(state.epoch.accuracy);
      json.at("epoch_steps").get_to(state.epoch.steps);
    }
  } catch (const nlohmann::json::exception& error) {
    return damaged(error.what());
  }
  const int64_t num_stages = static_cast<int64_t>(config.stages.size());
  const RunPosition& at = state.position;
  if (at.stage < 0 || at.stage > num_stages || at.stage_step < 0 || at.run_step < at.stage_step ||
      (at.stage == num_stages && at.stage_step > 0) || state.head_classes < 0) {
    return damaged("a number is out of range");
  }
  return state;
}

// The model file that init_from means.
absl::StatusOr<std::string> FindModel(FileSystem* fs, const std::string& path) {
  constexpr char kExpected[] =
      "expected the directory of a run, a checkpoint of it (RUN/checkpoints/NUMBER) or a model.h5";
  if (!fs->Exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or directory, ", kExpected));
  }
  if (!fs->IsDirectory(path)) return path;
  if (RunDirectory::IsCheckpoint(fs, path)) return JoinPath(path, kModelFile);
  const absl::StatusOr<RunDirectory> run = RunDirectory::Open(fs, path);
  if (absl::IsNotFound(run.status())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", path, ", which is neither a run nor a complete checkpoint; ", kExpected));
  }
  PROTOPAGE_RETURN_IF_ERROR(run.status());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string checkpoint, run->LatestCheckpoint());
  return JoinPath(checkpoint, kModelFile);
}

class Run {
 public:
  Run(const TrainConfig& config, const TrainOptions& options)
      : config_(config),
        options_(options),
        fs_(options.file_system != nullptr ? options.file_system : DefaultFileSystem()) {}

  absl::StatusOr<TrainResult> Go();
  // Go failed, and recovery.json of the run makes another attempt to go on with it another one.
  bool wants_retry() const { return wants_retry_; }

 private:
  const StageConfig& stage() const { return config_.stages[position_.stage]; }

  // Everything that may fail for want of data, models or rights, before anything is written.
  absl::Status Prepare();
  absl::Status OpenDirectory();
  absl::Status ReadRecovery();
  absl::Status FindCheckpoint();
  absl::Status RestoreCheckpoint();
  absl::Status InitializeNet();
  absl::Status MakeObservers();
  absl::Status RunStage();
  absl::Status RunTraining();
  absl::Status RunImprint();
  absl::Status RunEvaluate();
  absl::Status Save(StageTrainer* trainer, Schedule* schedule, const Means& epoch);
  // Lets go of what only checkpoints that are no longer kept need.
  absl::Status RetirePrototypes(bool all);
  // All that a checkpoint's model file holds; in the middle of a stage, with the stage's own.
  std::vector<CheckpointSection> Sections(StageTrainer* trainer, Schedule* schedule);
  StageReport MakeStageReport() const;
  // By the config's checkpoint_every_*; `since`: the last checkpoint or the stage's start.
  bool CheckpointIsDue(const Stopwatch& since) const;
  // The error for too many bad steps in a row; a retry of the run from its last checkpoint follows
  // the first one.
  absl::Status BadSteps(int64_t count, double loss);

  TrainConfig config_;  // With recovery.json's learning rates.
  const TrainOptions options_;
  FileSystem* const fs_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<Session> session_;
  ObserverList observers_;
  RunPosition position_;
  double recovery_factor_ = 1;  // That recovery.json changed all learning rates by.
  bool wants_retry_ = false;
  // The checkpoint that a resumed run goes on from; "" when it starts from the beginning.
  std::string checkpoint_;
  CheckpointState resumed_;
  TrainResult result_;
};

absl::Status Run::Prepare() {
  if (options_.resume) {
    PROTOPAGE_RETURN_IF_ERROR(OpenDirectory());
    PROTOPAGE_RETURN_IF_ERROR(FindCheckpoint());
  } else {
    PROTOPAGE_RETURN_IF_ERROR(RunDirectory::CheckFree(fs_, options_.directory));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(session_, Session::Create(config_, fs_));
  session_->set_log_options(options_.log);
  if (checkpoint_.empty()) PROTOPAGE_RETURN_IF_ERROR(WithContext(InitializeNet(), "init_from"));
  PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session_, position_.stage));
  return CheckNewPrototypes(*session_, position_.stage, resumed_.prototypes);
}

absl::Status Run::OpenDirectory() {
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory directory, RunDirectory::Resume(fs_, options_.directory));
  directory_ = std::make_unique<RunDirectory>(std::move(directory));
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json old_json, directory_->ReadConfigJson());
  TrainConfig old_config, config = config_;
  PROTOPAGE_RETURN_IF_ERROR(
      WithContext(ReadConfig(old_json, "", old_config), directory_->File("config.json")));
  const std::vector<std::string> changed = UnsafeDifferences(
      [&](ConfigVisitor& v) { old_config.Fields(v); }, [&](ConfigVisitor& v) { config.Fields(v); });
  if (!changed.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--resume: the config differs from that of ", options_.directory, " in ",
        absl::StrJoin(changed, ", "), "; only threads, logging and checkpoints may change"));
  }
  return ReadRecovery();
}

absl::Status Run::ReadRecovery() {
  const std::string path = directory_->File(kRecoveryFile);
  if (!fs_->Exists(path)) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs_, path));
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  const auto factor = json.find("learning_rate_factor");
  if (!json.is_object() || factor == json.end() || !factor->is_number()) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: no learning_rate_factor"));
  }
  recovery_factor_ = factor->get<double>();
  for (StageConfig& stage : config_.stages) {
    stage.optimizer.learning_rate *= recovery_factor_;
    stage.rows.learning_rate *= recovery_factor_;
  }
  return absl::OkStatus();
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
  const nlohmann::ordered_json recovery = {{"learning_rate_factor", kRecoveryFactor},
                                           {"because", what}};
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, directory_->File(kRecoveryFile),
                                                absl::StrCat(DumpJson(recovery), "\n")));
  wants_retry_ = true;
  return absl::AbortedError(what);
}

bool Run::CheckpointIsDue(const Stopwatch& since) const {
  return (config_.checkpoint_every_steps > 0 &&
          position_.stage_step % config_.checkpoint_every_steps == 0) ||
         (config_.checkpoint_every_minutes > 0 &&
          since.Seconds() >= 60 * config_.checkpoint_every_minutes);
}

absl::Status Run::FindCheckpoint() {
  const absl::StatusOr<std::string> folder = directory_->LatestCheckpoint();
  if (absl::IsNotFound(folder.status())) {
    LogInfo(
        absl::StrCat(options_.directory, " has no checkpoint yet: starting from the beginning"));
    return absl::OkStatus();
  }
  PROTOPAGE_RETURN_IF_ERROR(folder.status());
  checkpoint_ = *folder;
  PROTOPAGE_ASSIGN_OR_RETURN(resumed_, ReadState(*directory_, checkpoint_, config_));
  position_ = resumed_.position;
  result_.reports = resumed_.reports;
  return absl::OkStatus();
}

absl::Status Run::RestoreCheckpoint() {
  if (resumed_.head_classes > 0)
    PROTOPAGE_RETURN_IF_ERROR(session_->MakeHead(resumed_.head_classes));
  // In the middle of a stage the file holds more than the session; the stage loads it then.
  if (position_.stage_step == 0) {
    PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(fs_, JoinPath(checkpoint_, kModelFile),
                                             session_->Sections(), session_->backend()));
  }
  if (resumed_.prototypes) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        auto set, PrototypeSet::Restore(options_.directory, checkpoint_,
                                        session_->prototype_options(), &session_->pool()));
    set->set_unindexed(resumed_.unindexed);
    session_->set_prototypes(std::move(set));
  }
  LogInfo(absl::StrCat("going on from ", checkpoint_, ", step ", position_.run_step));
  return absl::OkStatus();
}

absl::Status Run::InitializeNet() {
  if (config_.init_from.empty()) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string path, FindModel(fs_, config_.init_from));
  PROTOPAGE_ASSIGN_OR_RETURN(
      const LoadByNameResult loaded,
      LoadByName(fs_, path, session_->Sections()[0], {}, session_->backend()));
  LogInfo(absl::StrCat("the net starts from ", path, " (", loaded.loaded.size(), " arrays)"));
  return absl::OkStatus();
}

absl::Status Run::MakeObservers() {
  observers_.Add(std::make_unique<ProgressObserver>());
  const std::string metrics_path = directory_->File(kMetricsFile);
  const bool going_on = !checkpoint_.empty();
  if (going_on) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        auto metrics, MetricsWriter::Resume(fs_, metrics_path, static_cast<int>(position_.stage),
                                            position_.run_step));
    observers_.Add(std::move(metrics));
  } else {
    PROTOPAGE_ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(fs_, metrics_path));
    observers_.Add(std::move(metrics));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto board,
      TensorBoardWriter::Create(fs_, options_.directory, going_on ? position_.run_step : 0));
  observers_.Add(std::move(board));
  TrainConfig config = config_;
  observers_.Add(std::make_unique<ReportWriter>(fs_, metrics_path, directory_->File("report.html"),
                                                options_.title, WriteConfig(config)));
  return absl::OkStatus();
}

absl::StatusOr<TrainResult> Run::Go() {
  PROTOPAGE_RETURN_IF_ERROR(Prepare());
  if (!checkpoint_.empty()) PROTOPAGE_RETURN_IF_ERROR(RestoreCheckpoint());
  if (directory_ == nullptr) {
    TrainConfig config = config_;
    PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory directory,
                               RunDirectory::Create(fs_, options_.directory, WriteConfig(config)));
    directory_ = std::make_unique<RunDirectory>(std::move(directory));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(directory_->CleanCheckpoints(config_.keep_checkpoints));
  }
  PROTOPAGE_RETURN_IF_ERROR(MakeObservers());
  LogInfo(absl::StrCat("run ", options_.directory, " on ", session_->backend()->Description()));
  const StopSignals signals;
  const int64_t num_stages = static_cast<int64_t>(config_.stages.size());
  while (position_.stage < num_stages) {
    PROTOPAGE_RETURN_IF_ERROR(RunStage());
    session_->images().KeepOnly(SplitsFrom(config_, position_.stage + 1));
    ++position_.stage;
    position_.stage_step = 0;
    PROTOPAGE_RETURN_IF_ERROR(Save(nullptr, nullptr, Means()));
    if (stop_requested && position_.stage < num_stages) {
      return absl::CancelledError(
          absl::StrCat("interrupted; saved in ", options_.directory, ", --resume goes on"));
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(RetirePrototypes(/*all=*/true));
  return std::move(result_);
}

std::vector<CheckpointSection> Run::Sections(StageTrainer* trainer, Schedule* schedule) {
  std::vector<CheckpointSection> sections = session_->Sections();
  if (trainer != nullptr) {
    for (CheckpointSection& section : trainer->Sections()) sections.push_back(std::move(section));
    sections.push_back({"schedule", [schedule](StateVisitor& v) { schedule->State(v); }});
  }
  return sections;
}

StageReport Run::MakeStageReport() const {
  StageReport report;
  report.stage = stage().name;
  report.kind = stage().trains() ? "train" : stage().name;
  report.stage_index = static_cast<int>(position_.stage);
  report.num_stages = static_cast<int>(config_.stages.size());
  report.step = position_.run_step;
  report.stage_step = position_.stage_step;
  return report;
}

absl::Status Run::RunStage() {
  const Stopwatch stopwatch;
  if (stage().trains()) {
    PROTOPAGE_RETURN_IF_ERROR(RunTraining());
  } else {
    PROTOPAGE_RETURN_IF_ERROR(observers_.OnStageStart(MakeStageReport()));
    PROTOPAGE_RETURN_IF_ERROR(stage().name == "imprint" ? RunImprint() : RunEvaluate());
  }
  StageReport report = MakeStageReport();
  report.seconds = stopwatch.Seconds();
  return observers_.OnStageEnd(report);
}

absl::Status Run::RunTraining() {
  const bool resumed = position_.stage_step > 0;
  const int64_t first_run_step = position_.run_step - position_.stage_step;
  PROTOPAGE_ASSIGN_OR_RETURN(
      const std::unique_ptr<StageTrainer> trainer,
      stage().name == "source"
          ? NewSourceTrainer(session_.get(), position_.stage, first_run_step, resumed)
          : NewDominantTrainer(session_.get(), position_.stage, first_run_step, options_.directory,
                               resumed));
  const int64_t epoch_steps = trainer->steps_per_epoch();
  const int64_t total = TotalSteps(stage(), epoch_steps);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Schedule> schedule,
                             Schedule::Create(stage().schedule, total));
  Means epoch_means;
  if (resumed) {
    PROTOPAGE_RETURN_IF_ERROR(LoadCheckpoint(fs_, JoinPath(checkpoint_, kModelFile),
                                             Sections(trainer.get(), schedule.get()),
                                             session_->backend()));
    PROTOPAGE_RETURN_IF_ERROR(trainer->RestoreState(resumed_.trainer));
    epoch_means = resumed_.epoch;
  }
  LogInfo(absl::StrCat(stage().name, ": ", trainer->Description()));
  StageReport start = MakeStageReport();
  start.stage_steps = total;
  start.steps_per_epoch = epoch_steps;
  PROTOPAGE_RETURN_IF_ERROR(observers_.OnStageStart(start));

  Means log_means;
  Stopwatch log_watch, epoch_watch, saved_watch;
  int64_t logged_steps = position_.stage_step, epoch_start = position_.stage_step;
  StageTotals logged = trainer->totals();
  int64_t bad_steps = 0;
  while (position_.stage_step < total) {
    const StepPosition at{position_.run_step, position_.stage_step, total};
    const double factor = schedule->Factor(position_.stage_step);
    PROTOPAGE_ASSIGN_OR_RETURN(const StepOutcome outcome, trainer->Step(at, factor));
    for (const std::string& message : trainer->TakeMessages()) LogWarning(message);
    ++position_.run_step;
    ++position_.stage_step;
    log_means.Add(outcome);
    epoch_means.Add(outcome);
    if (outcome.skipped) {
      ++position_.skipped_steps;
      if (!outcome.overflowed && ++bad_steps >= config_.max_bad_steps)
        return BadSteps(bad_steps, outcome.loss);
    } else {
      bad_steps = 0;
    }

    const bool epoch_ends = position_.stage_step % epoch_steps == 0;
    const bool stage_ends = position_.stage_step == total;
    if (position_.stage_step % config_.log_every_steps == 0 || stage_ends || stop_requested) {
      const StageTotals now = trainer->totals();
      StepReport report;
      report.stage = stage().name;
      report.stage_index = static_cast<int>(position_.stage);
      report.step = position_.run_step;
      report.stage_step = position_.stage_step;
      report.stage_steps = total;
      report.epoch = (position_.stage_step - 1) / epoch_steps + 1;
      report.loss = log_means.Loss();
      report.accuracy = log_means.Accuracy();
      report.learning_rate = stage().optimizer.learning_rate * factor;
      if (stage().name == "dominant") {
        report.row_learning_rate = RowLearningRate(stage(), factor);
      }
      report.seconds = log_watch.Seconds();
      report.images = (position_.stage_step - logged_steps) * stage().batch_size;
      report.images_per_second = report.images / report.seconds;
      report.wait_images_seconds = now.wait_images_seconds - logged.wait_images_seconds;
      if (stage().name == "dominant") {
        report.wait_rows_seconds = now.wait_rows_seconds - logged.wait_rows_seconds;
        report.wait_plan_seconds = now.wait_plan_seconds - logged.wait_plan_seconds;
        report.rows_paged = now.rows_paged - logged.rows_paged;
        const int64_t lookups = now.row_lookups - logged.row_lookups;
        if (lookups > 0) {
          report.cache_hit_rate = static_cast<double>(now.row_hits - logged.row_hits) / lookups;
        }
        report.index_seconds = now.index_seconds - logged.index_seconds;
        if (now.recall_queries > 0) {
          report.index_recall = 1 - now.recall_missed / static_cast<double>(now.recall_queries);
        }
        const int64_t queues = now.queues_used - logged.queues_used;
        if (queues > 0) {
          report.queue_age_steps =
              static_cast<double>(now.queues_age_steps - logged.queues_age_steps) / queues;
        }
        report.log_bytes = now.log_bytes;
      }
      report.skipped_steps = position_.skipped_steps;
      if (config_.precision == "fp16") report.loss_scale = now.loss_scale;
      PROTOPAGE_RETURN_IF_ERROR(observers_.OnStep(report));
      log_means = Means();
      log_watch = Stopwatch();
      logged_steps = position_.stage_step;
      logged = now;
    }
    if (epoch_ends) {
      EpochReport report;
      report.stage = stage().name;
      report.stage_index = static_cast<int>(position_.stage);
      report.step = position_.run_step;
      report.epoch = position_.stage_step / epoch_steps;
      report.loss = epoch_means.Loss();
      report.accuracy = epoch_means.Accuracy();
      report.seconds = epoch_watch.Seconds();
      report.images_per_second =
          (position_.stage_step - epoch_start) * stage().batch_size / report.seconds;
      PROTOPAGE_RETURN_IF_ERROR(observers_.OnEpochEnd(report));
      if (epoch_means.steps > 0) schedule->EndEpoch(epoch_means.Accuracy());
      epoch_means = Means();
      epoch_watch = Stopwatch();
      epoch_start = position_.stage_step;
    }
    // The stage's own end is saved by the caller, with the next stage as position.
    const bool log_is_full =
        session_->prototypes() != nullptr && session_->prototypes()->wants_checkpoint();
    if ((epoch_ends || stop_requested || log_is_full || CheckpointIsDue(saved_watch)) &&
        !stage_ends) {
      saved_watch = Stopwatch();
      PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
      PROTOPAGE_RETURN_IF_ERROR(Save(trainer.get(), schedule.get(), epoch_means));
      if (stop_requested) {
        return absl::CancelledError(absl::StrCat("interrupted at step ", position_.run_step,
                                                 "; saved in ", options_.directory,
                                                 ", --resume goes on"));
      }
    }
  }
  return trainer->Settle();
}

absl::Status Run::RunImprint() {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source,
                             session_->images().Open(StageSplit(config_, position_.stage)));
  ImprintOptions options;
  if (!stage().domain.empty()) options.domain = FindDomain(*source, stage().domain);
  options.progress = [](int64_t done, int64_t total) {
    if (StderrIsTerminal()) DrawProgress(absl::StrCat("imprint ", done, "/", total, " images"));
  };
  PrototypeSetOptions set_options = session_->prototype_options();
  if (session_->prototypes() != nullptr) {
    set_options.generation = session_->prototypes()->generation() + 1;
  }
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto set,
      PrototypeSet::Create(options_.directory, source->num_classes(),
                           session_->net()->embedding_dim(), set_options, &session_->pool()));
  session_->set_prototypes(std::move(set));
  Embedder embedder = session_->MakeEmbedder();
  PROTOPAGE_ASSIGN_OR_RETURN(const ImprintStats stats,
                             Imprint(embedder, *source, options, session_->prototypes()->store()));
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("imprinted ", stats.classes, " classes from ", stats.images, " images",
                       stats.imageless > 0
                           ? absl::StrCat("; ", stats.imageless, " have none and stay at random")
                           : ""));
  return session_->prototypes()->Flush();
}

absl::Status Run::RunEvaluate() {
  const std::string name = EvaluationName(config_, position_.stage);
  const Split split = StageSplit(config_, position_.stage);
  PROTOPAGE_ASSIGN_OR_RETURN(EvalReport evaluation, name == "source"
                                                        ? EvaluateSource(*session_, split, name)
                                                        : EvaluateTarget(*session_, split, name));
  EvaluationReport report;
  report.stage = stage().name;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.results = ToJson(evaluation);
  report.scalars = ReportScalars(evaluation);
  PROTOPAGE_RETURN_IF_ERROR(observers_.OnEvaluation(report));
  result_.reports.push_back(std::move(evaluation));
  return WriteFileAtomically(fs_, directory_->File(kResultsFile), DumpJson(ToJson(result_)));
}

absl::Status Run::Save(StageTrainer* trainer, Schedule* schedule, const Means& epoch) {
  const Stopwatch stopwatch;
  // Two positions may share a run_step (an evaluation trains nothing), so the folder's number is
  // unique by both.
  const int64_t number = position_.run_step * 100 + position_.stage;
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, directory_->BeginCheckpoint(number));
  CheckpointState state;
  state.position = position_;
  state.head_classes = session_->head() != nullptr ? session_->head()->num_classes() : 0;
  state.prototypes = session_->prototypes() != nullptr;
  state.reports = result_.reports;
  if (trainer != nullptr) state.trainer = trainer->SaveState();
  state.epoch = epoch;
  PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs_, JoinPath(folder, kModelFile),
                                           Sections(trainer, schedule), session_->backend()));
  if (session_->prototypes() != nullptr) {
    state.unindexed = session_->prototypes()->unindexed();
    PROTOPAGE_RETURN_IF_ERROR(session_->prototypes()->SaveCheckpoint(folder));
  }
  // A resumed run cuts the metrics off after the checkpoint's: those must be there.
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> metrics,
                               fs_->Open(directory_->File(kMetricsFile), OpenMode::kReadWrite));
    PROTOPAGE_RETURN_IF_ERROR(metrics->Sync());
  }
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(options_.directory));
  PROTOPAGE_RETURN_IF_ERROR(
      directory_->CommitCheckpoint(number, ToJson(state), config_.keep_checkpoints));
  PROTOPAGE_RETURN_IF_ERROR(RetirePrototypes(/*all=*/false));
  CheckpointReport report;
  report.stage = trainer != nullptr ? stage().name : config_.stages[position_.stage - 1].name;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.path = folder;
  report.seconds = stopwatch.Seconds();
  return observers_.OnCheckpoint(report);
}

absl::Status Run::RetirePrototypes(bool all) {
  if (session_->prototypes() == nullptr) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string oldest, directory_->OldestCheckpoint());
  return session_->prototypes()->Retire(oldest, all);
}

}  // namespace

nlohmann::ordered_json ToJson(const TrainResult& result) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const EvalReport& report : result.reports) list.push_back(ToJson(report));
  return list;
}

absl::StatusOr<TrainResult> Train(const TrainConfig& config, const TrainOptions& options) {
  {
    Run run(config, options);
    absl::StatusOr<TrainResult> result = run.Go();
    if (!run.wants_retry()) return result;
    LogWarning(absl::StrCat(result.status().message(), "; going back to the last checkpoint with ",
                            kRecoveryFactor, " of the learning rates, as ", kRecoveryFile,
                            " of the run tells"));
  }
  TrainOptions again = options;
  again.resume = true;
  return Run(config, again).Go();
}

absl::StatusOr<TrainConfig> ReadRunConfig(FileSystem* fs, const std::string& directory,
                                          const std::vector<std::string>& set) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, run.ReadConfigJson());
  for (const std::string& assignment : set)
    PROTOPAGE_RETURN_IF_ERROR(SetJsonValue(assignment, json));
  TrainConfig config;
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ReadConfig(json, "", config), run.File("config.json")));
  PROTOPAGE_RETURN_IF_ERROR(WithContext(ValidateConfig(&config), run.File("config.json")));
  return config;
}

absl::StatusOr<std::unique_ptr<Session>> LoadRun(FileSystem* fs, const std::string& directory,
                                                 const TrainConfig& config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, run.LatestCheckpoint());
  PROTOPAGE_ASSIGN_OR_RETURN(const CheckpointState state, ReadState(run, folder, config));
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(config, fs));
  if (state.head_classes > 0) PROTOPAGE_RETURN_IF_ERROR(session->MakeHead(state.head_classes));
  PROTOPAGE_RETURN_IF_ERROR(
      LoadCheckpoint(fs, JoinPath(folder, kModelFile), session->Sections(), session->backend()));
  if (state.prototypes) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        auto prototypes, PrototypeSet::OpenReadOnly(directory, folder, session->prototype_options(),
                                                    &session->pool()));
    session->set_prototypes(std::move(prototypes));
  }
  return session;
}

}  // namespace protopage
