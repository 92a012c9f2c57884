#include "protopage/trainer/testing/crash_training.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread_pool.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/run_check.h"
#include "protopage/trainer/run/run_checkpoint.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/session/class_identity.h"

namespace protopage {
namespace {

// Of these folders only the first is there before the run.
constexpr char kParent[] = "/runs";
constexpr char kRun[] = "/runs/group/a";

absl::Status Lost(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("lost: ", what));
}

std::string LineName(absl::string_view kind, int64_t stage_index, int64_t step) {
  return absl::StrCat(kind, " ", stage_index, " ", step);
}

absl::StatusOr<std::vector<nlohmann::ordered_json>> ReadLines(FileSystem* fs) {
  return ReadMetrics(fs, JoinPath(kRun, kMetricsFile));
}

// The number of a checkpoint's folder.
int64_t NumberOf(const std::string& folder) {
  int64_t number = -1;
  return absl::SimpleAtoi(BaseName(folder), &number) ? number : -1;
}

}  // namespace

// Notes what is promised. It hears a report before the files are written, so that what a report
// promises of them is noted with the next one.
class CrashTraining::Listener : public TrainObserver {
 public:
  explicit Listener(CrashTraining* training) : training_(*training) {}

  absl::Status OnMessage(const MessageReport& report) override {
    Promise();
    // The first message after the directory was made.
    if (absl::StartsWith(report.text, "run ")) training_.begun_ = true;
    return absl::OkStatus();
  }
  absl::Status OnStageStart(const StageReport& report) override {
    return Note("stage_start", report);
  }
  absl::Status OnStep(const StepReport& report) override { return Note("step", report); }
  absl::Status OnEpochEnd(const EpochReport& report) override { return Note("epoch", report); }
  absl::Status OnEvaluation(const EvaluationReport& report) override {
    PROTOPAGE_RETURN_IF_ERROR(Note("evaluation", report));
    results_next_ = true;
    return absl::OkStatus();
  }
  absl::Status OnCheckpoint(const CheckpointReport& report) override {
    PROTOPAGE_RETURN_IF_ERROR(Note("checkpoint", report));
    training_.checkpoint_ = NumberOf(report.path);
    lines_next_ = true;
    return absl::OkStatus();
  }
  absl::Status OnStageEnd(const StageReport& report) override {
    PROTOPAGE_RETURN_IF_ERROR(Note("stage_end", report));
    lines_next_ = true;
    return absl::OkStatus();
  }

  // What the report before this moment promised.
  void Promise() {
    if (std::exchange(results_next_, false)) ++training_.results_;
    if (!std::exchange(lines_next_, false)) return;
    training_.lines_.insert(training_.lines_.end(), lines_.begin(), lines_.end());
    lines_.clear();
  }

 private:
  template <typename Report>
  absl::Status Note(absl::string_view kind, const Report& report) {
    Promise();
    lines_.push_back(LineName(kind, report.stage_index, report.step));
    return absl::OkStatus();
  }

  CrashTraining& training_;
  std::vector<std::string> lines_;
  bool lines_next_ = false, results_next_ = false;
};

absl::Status CrashTraining::SetUp(FileSystem* fs) {
  PROTOPAGE_RETURN_IF_ERROR(fs->CreateDirectories(kParent));
  return fs->SyncDirectory(DirectoryOf(kParent));
}

absl::Status CrashTraining::Work(FileSystem* fs) {
  // A resumed run repeats what came after its checkpoint, metrics and results included.
  const auto run = RunDirectory::Open(fs, kRun);
  results_ = 0;
  std::string last;
  if (run.ok()) {
    if (const auto folder = run->LatestCheckpoint(); folder.ok()) {
      const int64_t number = NumberOf(*folder);
      last = LineName("checkpoint", number % 100, number / 100);
      PROTOPAGE_ASSIGN_OR_RETURN(
          const CheckpointState state,
          ReadCheckpointState(*run, *folder, static_cast<int64_t>(config_.stages.size())));
      results_ = state.reports.size();
    } else {
      lines_.clear();
    }
  }
  const auto found = std::find(lines_.begin(), lines_.end(), last);
  if (found != lines_.end()) lines_.erase(found + 1, lines_.end());

  Listener listener(this);
  TrainOptions options;
  options.directory = kRun;
  options.file_system = fs;
  options.resume = run.ok();
  options.console = &listener;
  PROTOPAGE_RETURN_IF_ERROR(Train(config_, options).status());
  listener.Promise();
  return absl::OkStatus();
}

absl::Status CrashTraining::Check(FileSystem* fs) {
  if (!begun_) return absl::OkStatus();
  const auto run = RunDirectory::Open(fs, kRun);
  if (!run.ok()) return Lost("the run that had begun");
  if (checkpoint_ >= 0) {
    const auto folder = run->LatestCheckpoint();
    if (!folder.ok() || NumberOf(*folder) < checkpoint_) {
      return Lost(absl::StrCat("checkpoint ", checkpoint_));
    }
  }
  // Whatever checkpoint is there can be used.
  ThreadPool pool(1);
  PROTOPAGE_ASSIGN_OR_RETURN(const RunCheck check, CheckRun(fs, kRun, &pool, {}));
  for (const RunFinding& finding : check.findings) {
    if (finding.checkpoint >= 0) return Lost(finding.what);
  }
  if (results_ > 0) {
    const auto text = ReadFile(fs, run->File("results.json"));
    if (!text.ok()) return Lost("results.json");
    auto results = ParseSealedJson(*text, "results.json", SealRule::kRequired);
    if (!results.ok() || (*results)["evaluations"].size() < results_) return Lost("results");
  }
  // A browser may show it at any time.
  if (const std::string report = run->File("report.html"); fs->Exists(report)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::string page, ReadFile(fs, report));
    if (!absl::EndsWith(page, "</html>\n")) return Lost("a part of report.html");
  }
  if (lines_.empty()) return absl::OkStatus();
  // After the lines that were promised, others may be damaged: resuming removes them.
  const auto text = ReadFile(fs, run->File(kMetricsFile));
  if (!text.ok()) return Lost("metrics.jsonl");
  auto wanted = lines_.begin();
  for (size_t begin = 0, end; wanted != lines_.end(); begin = end + 1) {
    end = text->find('\n', begin);
    const auto line = end == std::string::npos
                          ? nlohmann::json()
                          : nlohmann::json::parse(text->substr(begin, end - begin), nullptr, false);
    if (!line.is_object()) return Lost(absl::StrCat("metrics.jsonl: ", *wanted));
    // Others in between were written, but not promised.
    if (LineName(line.value("kind", ""), line.value("stage_index", -1), line.value("step", -1)) ==
        *wanted) {
      ++wanted;
    }
  }
  return absl::OkStatus();
}

absl::Status CrashTraining::CheckOutcome(FileSystem* fs) {
  TrainedOutcome outcome;
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session, LoadRun(fs, kRun, config_));
  outcome.parameters = NetValues(*session);
  outcome.prototypes = PrototypeRows(*session);
  PROTOPAGE_ASSIGN_OR_RETURN(outcome.results, ReadFile(fs, JoinPath(kRun, "results.json")));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto lines, ReadLines(fs));
  for (const nlohmann::ordered_json& line : lines) {
    const std::string kind = line.value("kind", "");
    // That of a checkpoint is missing when the power failed between the two, and a run that is
    // resumed in the middle of a stage says so.
    if (kind == "checkpoint" || (kind == "stage_start" && line["stage_step"] != 0)) continue;
    outcome.metrics.push_back(absl::StrCat(LineName(kind, line["stage_index"], line["step"]), " ",
                                           line.value("loss", 0.0)));
  }
  if (!fs->Exists(JoinPath(kRun, "report.html"))) return Lost("report.html");
  for (const ClassRole role : kClassRoles) {
    if (!fs->Exists(RunClassesPath(kRun, role))) return Lost("names of classes");
  }
  if (outcome_->parameters.empty()) *outcome_ = outcome;
  const auto same = [](bool equal, absl::string_view what) {
    return equal ? absl::OkStatus()
                 : absl::DataLossError(absl::StrCat(what, " differ from the uninterrupted run's"));
  };
  PROTOPAGE_RETURN_IF_ERROR(same(outcome.parameters == outcome_->parameters, "parameters"));
  PROTOPAGE_RETURN_IF_ERROR(same(outcome.prototypes == outcome_->prototypes, "prototypes"));
  PROTOPAGE_RETURN_IF_ERROR(same(outcome.results == outcome_->results, "results"));
  const auto [found, wanted] = std::mismatch(outcome.metrics.begin(), outcome.metrics.end(),
                                             outcome_->metrics.begin(), outcome_->metrics.end());
  return same(
      found == outcome.metrics.end() && wanted == outcome_->metrics.end(),
      absl::StrCat("metrics: ", found == outcome.metrics.end() ? "the end" : *found, ", expected ",
                   wanted == outcome_->metrics.end() ? "the end" : *wanted, ":"));
}

}  // namespace protopage
