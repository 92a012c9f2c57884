#include "trainer/trainer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/stopwatch.h"
#include "trainer/evaluator.h"
#include "trainer/imprint.h"
#include "trainer/metrics_writer.h"
#include "trainer/observer.h"
#include "trainer/progress_observer.h"
#include "trainer/report_writer.h"
#include "trainer/stage_trainer.h"
#include "trainer/tensorboard_writer.h"

namespace protopage {
namespace {

constexpr char kModelFile[] = "model.h5";
constexpr char kMetricsFile[] = "metrics.jsonl";
constexpr char kResultsFile[] = "results.json";

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

class Run {
 public:
  Run(const TrainConfig& config, const TrainOptions& options)
      : config_(config),
        options_(options),
        fs_(options.file_system != nullptr ? options.file_system : DefaultFileSystem()) {}

  absl::StatusOr<TrainResult> Go();

 private:
  const StageConfig& stage() const { return config_.stages[position_.stage]; }

  absl::Status OpenDirectory();
  absl::Status RestoreCheckpoint();
  absl::Status InitializeNet();
  absl::Status MakeObservers();
  absl::Status RunStage();
  absl::Status RunTraining();
  absl::Status RunImprint();
  absl::Status RunEvaluate();
  absl::Status Save(StageTrainer* trainer, Schedule* schedule, const Means& epoch);
  // All that a checkpoint's model file holds; in the middle of a stage, with the stage's own.
  std::vector<CheckpointSection> Sections(StageTrainer* trainer, Schedule* schedule);
  StageReport MakeStageReport() const;
  std::string EvaluationName() const;

  const TrainConfig config_;
  const TrainOptions options_;
  FileSystem* const fs_;
  std::unique_ptr<RunDirectory> directory_;
  std::unique_ptr<Session> session_;
  ObserverList observers_;
  RunPosition position_;
  // What a checkpoint in the middle of a stage left for the stage; null otherwise.
  nlohmann::json resumed_state_;
  std::string resumed_model_;
  TrainResult result_;
};

absl::Status Run::OpenDirectory() {
  TrainConfig config = config_;
  if (!options_.resume) {
    ASSIGN_OR_RETURN(RunDirectory directory,
                     RunDirectory::Create(fs_, options_.directory, WriteConfig(config)));
    directory_ = std::make_unique<RunDirectory>(std::move(directory));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(RunDirectory directory, RunDirectory::Open(fs_, options_.directory));
  directory_ = std::make_unique<RunDirectory>(std::move(directory));
  ASSIGN_OR_RETURN(const nlohmann::json old_json, directory_->ReadConfigJson());
  TrainConfig old_config;
  RETURN_IF_ERROR(
      WithContext(ReadConfig(old_json, "", old_config), directory_->File("config.json")));
  const std::vector<std::string> changed = UnsafeDifferences(
      [&](ConfigVisitor& v) { old_config.Fields(v); }, [&](ConfigVisitor& v) { config.Fields(v); });
  if (!changed.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--resume: the config differs from that of ", options_.directory, " in ",
        absl::StrJoin(changed, ", "), "; only threads, logging and checkpoints may change"));
  }
  return absl::OkStatus();
}

absl::Status Run::RestoreCheckpoint() {
  const absl::StatusOr<std::string> folder = directory_->LatestCheckpoint();
  if (absl::IsNotFound(folder.status())) {
    LogInfo(
        absl::StrCat(options_.directory, " has no checkpoint yet: starting from the beginning"));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(folder.status());
  ASSIGN_OR_RETURN(const nlohmann::json state, directory_->ReadCheckpointState(*folder));
  // A damaged state is the library's exception; it stops here.
  try {
    position_.stage = state.at("stage").get<int64_t>();
    position_.stage_step = state.at("stage_step").get<int64_t>();
    position_.run_step = state.at("run_step").get<int64_t>();
    position_.skipped_steps = state.at("skipped_steps").get<int64_t>();
    for (const nlohmann::json& report : state.at("reports")) {
      ASSIGN_OR_RETURN(EvalReport evaluation, EvalReportFromJson(report));
      result_.reports.push_back(std::move(evaluation));
    }
    const int64_t head_classes = state.at("head_classes").get<int64_t>();
    if (head_classes > 0) RETURN_IF_ERROR(session_->MakeHead(head_classes));
    if (state.at("prototypes").get<bool>()) {
      ASSIGN_OR_RETURN(auto set,
                       PrototypeSet::Restore(options_.directory, *folder,
                                             session_->prototype_options(), &session_->pool()));
      set->set_unindexed(state.at("unindexed").get<std::vector<ClassId>>());
      session_->set_prototypes(std::move(set));
    }
    if (position_.stage_step > 0) resumed_state_ = state;
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat(*folder, "/state.json: ", error.what()));
  }
  resumed_model_ = JoinPath(*folder, kModelFile);
  // In the middle of a stage the file holds more than the session; the stage loads it then.
  if (position_.stage_step == 0) {
    RETURN_IF_ERROR(LoadCheckpoint(fs_, resumed_model_, session_->Sections(), session_->backend()));
  }
  LogInfo(absl::StrCat("going on from ", *folder, ", step ", position_.run_step));
  return absl::OkStatus();
}

absl::Status Run::InitializeNet() {
  if (config_.init_from.empty()) return absl::OkStatus();
  std::string path = config_.init_from;
  if (fs_->IsDirectory(path)) {
    ASSIGN_OR_RETURN(const RunDirectory other, RunDirectory::Open(fs_, path));
    ASSIGN_OR_RETURN(const std::string folder, other.LatestCheckpoint());
    path = JoinPath(folder, kModelFile);
  }
  ASSIGN_OR_RETURN(const LoadByNameResult loaded,
                   LoadByName(fs_, path, session_->Sections()[0], {}, session_->backend()));
  LogInfo(absl::StrCat("the net starts from ", path, " (", loaded.loaded.size(), " arrays)"));
  return absl::OkStatus();
}

absl::Status Run::MakeObservers() {
  observers_.Add(std::make_unique<ProgressObserver>());
  const std::string metrics_path = directory_->File(kMetricsFile);
  const bool going_on = !resumed_model_.empty();
  if (going_on) {
    ASSIGN_OR_RETURN(auto metrics,
                     MetricsWriter::Resume(fs_, metrics_path, static_cast<int>(position_.stage),
                                           position_.run_step));
    observers_.Add(std::move(metrics));
  } else {
    ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(fs_, metrics_path));
    observers_.Add(std::move(metrics));
  }
  ASSIGN_OR_RETURN(auto board, TensorBoardWriter::Create(fs_, options_.directory,
                                                         going_on ? position_.run_step : 0));
  observers_.Add(std::move(board));
  TrainConfig config = config_;
  observers_.Add(std::make_unique<ReportWriter>(fs_, metrics_path, directory_->File("report.html"),
                                                options_.title, WriteConfig(config)));
  return absl::OkStatus();
}

absl::StatusOr<TrainResult> Run::Go() {
  RETURN_IF_ERROR(OpenDirectory());
  ASSIGN_OR_RETURN(session_, Session::Create(config_));
  if (options_.resume) RETURN_IF_ERROR(RestoreCheckpoint());
  if (resumed_model_.empty()) RETURN_IF_ERROR(InitializeNet());
  RETURN_IF_ERROR(MakeObservers());
  LogInfo(absl::StrCat("run ", options_.directory, " on ", session_->backend()->Description()));
  const StopSignals signals;
  const int64_t num_stages = static_cast<int64_t>(config_.stages.size());
  while (position_.stage < num_stages) {
    RETURN_IF_ERROR(RunStage());
    ++position_.stage;
    position_.stage_step = 0;
    RETURN_IF_ERROR(Save(nullptr, nullptr, Means()));
    if (stop_requested && position_.stage < num_stages) {
      return absl::CancelledError(
          absl::StrCat("interrupted; saved in ", options_.directory, ", --resume goes on"));
    }
  }
  if (session_->prototypes() != nullptr) RETURN_IF_ERROR(session_->prototypes()->Flush());
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
    RETURN_IF_ERROR(RunTraining());
  } else {
    RETURN_IF_ERROR(observers_.OnStageStart(MakeStageReport()));
    RETURN_IF_ERROR(stage().name == "imprint" ? RunImprint() : RunEvaluate());
  }
  StageReport report = MakeStageReport();
  report.seconds = stopwatch.Seconds();
  return observers_.OnStageEnd(report);
}

absl::Status Run::RunTraining() {
  const bool resumed = position_.stage_step > 0;
  const int64_t first_run_step = position_.run_step - position_.stage_step;
  ASSIGN_OR_RETURN(const std::unique_ptr<StageTrainer> trainer,
                   stage().name == "source"
                       ? NewSourceTrainer(session_.get(), stage(), first_run_step, resumed)
                       : NewDominantTrainer(session_.get(), stage(), first_run_step,
                                            options_.directory, resumed));
  const int64_t epoch_steps = trainer->steps_per_epoch();
  const int64_t total = stage().steps > 0
                            ? stage().steps
                            : std::max<int64_t>(1, std::llround(stage().epochs * epoch_steps));
  ASSIGN_OR_RETURN(const std::unique_ptr<Schedule> schedule,
                   Schedule::Create(stage().schedule, total));
  Means epoch_means;
  if (resumed) {
    RETURN_IF_ERROR(LoadCheckpoint(fs_, resumed_model_, Sections(trainer.get(), schedule.get()),
                                   session_->backend()));
    RETURN_IF_ERROR(trainer->RestoreState(resumed_state_.value("trainer", nlohmann::json())));
    epoch_means.loss = resumed_state_.value("epoch_loss_sum", 0.0);
    epoch_means.accuracy = resumed_state_.value("epoch_accuracy_sum", 0.0);
    epoch_means.steps = resumed_state_.value("epoch_steps", int64_t{0});
  }
  LogInfo(absl::StrCat(stage().name, ": ", trainer->Description()));
  StageReport start = MakeStageReport();
  start.stage_steps = total;
  start.steps_per_epoch = epoch_steps;
  RETURN_IF_ERROR(observers_.OnStageStart(start));

  Means log_means;
  Stopwatch log_watch, epoch_watch;
  int64_t logged_steps = position_.stage_step, epoch_start = position_.stage_step;
  StageTotals logged = trainer->totals();
  int64_t bad_steps = 0;
  while (position_.stage_step < total) {
    const StepPosition at{position_.run_step, position_.stage_step, total};
    const double factor = schedule->Factor(position_.stage_step);
    ASSIGN_OR_RETURN(const StepOutcome outcome, trainer->Step(at, factor));
    ++position_.run_step;
    ++position_.stage_step;
    log_means.Add(outcome);
    epoch_means.Add(outcome);
    if (outcome.skipped) {
      ++position_.skipped_steps;
      if (++bad_steps >= config_.max_bad_steps) {
        return absl::AbortedError(
            absl::StrCat("loss or gradients were not finite in ", bad_steps,
                         " steps in a row, the last of them ", position_.run_step, " (loss ",
                         outcome.loss, "); lower stages.optimizer.learning_rate and start again"));
      }
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
        report.row_learning_rate = stage().rows.learning_rate * factor;
      }
      report.seconds = log_watch.Seconds();
      report.images = (position_.stage_step - logged_steps) * stage().batch_size;
      report.images_per_second = report.images / report.seconds;
      report.wait_images_seconds = now.wait_images_seconds - logged.wait_images_seconds;
      if (stage().name == "dominant") {
        report.wait_rows_seconds = now.wait_rows_seconds - logged.wait_rows_seconds;
        report.rows_paged = now.rows_paged - logged.rows_paged;
        const int64_t lookups = now.row_lookups - logged.row_lookups;
        if (lookups > 0) {
          report.cache_hit_rate = static_cast<double>(now.row_hits - logged.row_hits) / lookups;
        }
      }
      report.skipped_steps = position_.skipped_steps;
      RETURN_IF_ERROR(observers_.OnStep(report));
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
      RETURN_IF_ERROR(observers_.OnEpochEnd(report));
      if (epoch_means.steps > 0) schedule->EndEpoch(epoch_means.Accuracy());
      RETURN_IF_ERROR(trainer->EndEpoch());
      epoch_means = Means();
      epoch_watch = Stopwatch();
      epoch_start = position_.stage_step;
    }
    // The stage's own end is saved by the caller, with the next stage as position.
    if ((epoch_ends || stop_requested) && !stage_ends) {
      RETURN_IF_ERROR(Save(trainer.get(), schedule.get(), epoch_means));
      if (stop_requested) {
        return absl::CancelledError(absl::StrCat("interrupted at step ", position_.run_step,
                                                 "; saved in ", options_.directory,
                                                 ", --resume goes on"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Run::RunImprint() {
  ASSIGN_OR_RETURN(const Split split, ParseSplitOr(stage().split, Split::kTargetTrain));
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageSource> source, session_->Open(split));
  ImprintOptions options;
  if (!stage().domain.empty()) {
    options.domain = FindDomain(*source, stage().domain);
    if (options.domain < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("stages[", position_.stage, "].domain: found \"", stage().domain,
                       "\", expected one of ", absl::StrJoin(source->domain_names(), ", ")));
    }
  }
  options.progress = [](int64_t done, int64_t total) {
    if (StderrIsTerminal()) DrawProgress(absl::StrCat("imprint ", done, "/", total, " images"));
  };
  ASSIGN_OR_RETURN(auto set,
                   PrototypeSet::Create(options_.directory, source->num_classes(),
                                        session_->net()->embedding_dim(),
                                        session_->prototype_options(), &session_->pool()));
  session_->set_prototypes(std::move(set));
  Embedder embedder = session_->MakeEmbedder();
  ASSIGN_OR_RETURN(const ImprintStats stats,
                   Imprint(embedder, *source, options, session_->prototypes()->store()));
  if (StderrIsTerminal()) DrawProgress("");
  LogInfo(absl::StrCat("imprinted ", stats.classes, " classes from ", stats.images, " images",
                       stats.imageless > 0
                           ? absl::StrCat("; ", stats.imageless, " have none and stay at random")
                           : ""));
  return session_->prototypes()->Flush();
}

std::string Run::EvaluationName() const {
  for (int64_t i = position_.stage - 1; i >= 0; --i) {
    const std::string& name = config_.stages[i].name;
    if (name == "imprint") return "imprinted";
    if (name != "evaluate") return name;
  }
  return stage().name;
}

absl::Status Run::RunEvaluate() {
  const std::string name = EvaluationName();
  const bool source = name == "source";
  ASSIGN_OR_RETURN(const Split split,
                   ParseSplitOr(stage().split, source ? Split::kSourceTest : Split::kTargetTest));
  ASSIGN_OR_RETURN(EvalReport evaluation, source ? EvaluateSource(*session_, split, name)
                                                 : EvaluateTarget(*session_, split, name));
  EvaluationReport report;
  report.stage = stage().name;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.results = ToJson(evaluation);
  report.scalars = ReportScalars(evaluation);
  RETURN_IF_ERROR(observers_.OnEvaluation(report));
  result_.reports.push_back(std::move(evaluation));
  return WriteFileAtomically(fs_, directory_->File(kResultsFile),
                             absl::StrCat(ToJson(result_).dump(2), "\n"));
}

absl::Status Run::Save(StageTrainer* trainer, Schedule* schedule, const Means& epoch) {
  const Stopwatch stopwatch;
  // Two positions may share a run_step (an evaluation trains nothing), so the folder's number is unique by both.
  const int64_t number = position_.run_step * 100 + position_.stage;
  ASSIGN_OR_RETURN(const std::string folder, directory_->BeginCheckpoint(number));
  nlohmann::ordered_json state;
  state["stage"] = position_.stage;
  state["stage_step"] = position_.stage_step;
  state["run_step"] = position_.run_step;
  state["skipped_steps"] = position_.skipped_steps;
  state["head_classes"] = session_->head() != nullptr ? session_->head()->num_classes() : 0;
  state["prototypes"] = session_->prototypes() != nullptr;
  state["reports"] = ToJson(result_);
  if (trainer != nullptr) {
    state["trainer"] = trainer->SaveState();
    state["epoch_loss_sum"] = epoch.loss;
    state["epoch_accuracy_sum"] = epoch.accuracy;
    state["epoch_steps"] = epoch.steps;
  }
  RETURN_IF_ERROR(SaveCheckpoint(fs_, JoinPath(folder, kModelFile), Sections(trainer, schedule),
                                 session_->backend()));
  if (session_->prototypes() != nullptr) {
    state["unindexed"] = session_->prototypes()->unindexed();
    RETURN_IF_ERROR(session_->prototypes()->SaveCheckpoint(folder));
  }
  RETURN_IF_ERROR(directory_->CommitCheckpoint(number, state, config_.keep_checkpoints));
  CheckpointReport report;
  report.stage = trainer != nullptr ? stage().name : config_.stages[position_.stage - 1].name;
  report.stage_index = static_cast<int>(position_.stage);
  report.step = position_.run_step;
  report.path = folder;
  report.seconds = stopwatch.Seconds();
  return observers_.OnCheckpoint(report);
}

}  // namespace

nlohmann::ordered_json ToJson(const TrainResult& result) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const EvalReport& report : result.reports) list.push_back(ToJson(report));
  return list;
}

absl::StatusOr<TrainResult> Train(const TrainConfig& config, const TrainOptions& options) {
  return Run(config, options).Go();
}

absl::StatusOr<std::unique_ptr<Session>> LoadRun(FileSystem* fs, const std::string& directory,
                                                 const std::vector<std::string>& set) {
  ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  ASSIGN_OR_RETURN(nlohmann::json json, run.ReadConfigJson());
  for (const std::string& assignment : set) RETURN_IF_ERROR(SetJsonValue(assignment, json));
  TrainConfig config;
  RETURN_IF_ERROR(WithContext(ReadConfig(json, "", config), run.File("config.json")));
  RETURN_IF_ERROR(ValidateConfig(&config));
  ASSIGN_OR_RETURN(const std::string folder, run.LatestCheckpoint());
  ASSIGN_OR_RETURN(const nlohmann::json state, run.ReadCheckpointState(folder));
  ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(config));
  const int64_t head_classes = state.value("head_classes", int64_t{0});
  if (head_classes > 0) RETURN_IF_ERROR(session->MakeHead(head_classes));
  RETURN_IF_ERROR(
      LoadCheckpoint(fs, JoinPath(folder, kModelFile), session->Sections(), session->backend()));
  if (state.value("prototypes", false)) {
    ASSIGN_OR_RETURN(auto prototypes, PrototypeSet::OpenReadOnly(
                                          folder, session->prototype_options(), &session->pool()));
    session->set_prototypes(std::move(prototypes));
  }
  return session;
}

}  // namespace protopage
