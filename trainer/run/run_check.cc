#include "protopage/trainer/run/run_check.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/sealed_json.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/checkpoint.h"
#include "protopage/prototypes/class_names.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/recovery.h"
#include "protopage/trainer/run/run_checkpoint.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

constexpr char kWithoutClasses[] =
    "images cannot be matched to the classes by name; --class_names=ignored takes them by their "
    "numbers";

class Checker {
 public:
  Checker(const RunDirectory& run, const TrainConfig& config, ThreadPool* pool,
          const RunCheckProgress& progress)
      : run_(run), config_(config), pool_(pool), progress_(progress) {}

  absl::Status Check(RunCheck* check) {
    check_ = check;
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, run_.ListCheckpoints());
    std::vector<int64_t> damaged;
    for (const int64_t number : numbers) {
      const size_t before = check_->findings.size();
      PROTOPAGE_RETURN_IF_ERROR(CheckOne(number));
      if (check_->findings.size() > before) damaged.push_back(number);
    }
    SayWayOut(damaged);
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> foreign, run_.ListForeign());
    for (const std::string& folder : foreign) {
      Add(absl::DataLossError(absl::StrCat(folder, kIsForeign)), "it does not count");
    }
    if (check_->checkpoints.empty()) Add(CheckNoneLost(run_), "the run cannot go on");
    CheckClasses();
    CheckMetrics();
    CheckResults();
    Add(ReadRecovery(run_).status(), "the run cannot be resumed");
    return absl::OkStatus();
  }

 private:
  void Add(const absl::Status& status, std::string meaning, int64_t checkpoint = -1) {
    if (status.ok()) return;
    check_->findings.push_back({std::string(status.message()), std::move(meaning), checkpoint});
  }

  // Errors: those of listing the checkpoints.
  absl::Status CheckOne(int64_t number) {
    const size_t before = check_->findings.size();
    const std::string folder = run_.CheckpointPath(number);
    Add(run_.CheckCheckpoint(folder, CheckDepth::kAll), "", number);
    const absl::StatusOr<CheckpointState> state =
        ReadCheckpointState(run_, folder, static_cast<int64_t>(config_.stages.size()));
    Add(state.status(), "", number);
    // In a checkpoint of format 1, the model file alone says whether it is whole.
    Add(LoadCheckpoint(run_.file_system(), ModelPath(folder), {}, /*backend=*/nullptr), "", number);
    if (state.ok() && state->prototypes) CheckPrototypes(folder, number);
    // A run that trains removes checkpoints.
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> left, run_.ListCheckpoints());
    if (std::binary_search(left.begin(), left.end(), number)) {
      check_->checkpoints.push_back(number);
      newest_ = state.ok() ? *state : CheckpointState();
    } else {
      check_->findings.resize(before);
    }
    return absl::OkStatus();
  }

  void CheckPrototypes(const std::string& folder, int64_t number) {
    PrototypeSetOptions options;
    options.prototypes = config_.prototypes;
    options.selection = config_.selection;
    options.seed = config_.seed;
    options.file_system = run_.file_system();
    const auto set = PrototypeSet::OpenReadOnly(run_.path(), folder, options, pool_);
    if (!set.ok()) return Add(set.status(), "", number);
    const auto progress = [&](int64_t done, int64_t total) {
      if (progress_) progress_(number, done, total);
    };
    for (const absl::Status& error : (*set)->Scrub(folder, progress)) Add(error, "", number);
  }

  // What the findings of checkpoints mean: the newest whole one is the one to use.
  void SayWayOut(const std::vector<int64_t>& damaged) {
    int64_t whole = -1;
    for (const int64_t number : check_->checkpoints) {
      if (!std::binary_search(damaged.begin(), damaged.end(), number)) whole = number;
    }
    for (RunFinding& finding : check_->findings) {
      finding.meaning =
          absl::StrCat("checkpoint ", finding.checkpoint, " cannot be used as it is; ");
      if (whole < 0) {
        absl::StrAppend(&finding.meaning, "no checkpoint is whole");
      } else if (whole > finding.checkpoint) {
        absl::StrAppend(&finding.meaning, "the newer ", whole, " is whole");
      } else {
        absl::StrAppend(&finding.meaning, whole, " is whole: --checkpoint=", whole,
                        " reads it, or goes on from it with --resume");
      }
    }
  }

  // A run of format 2 has the names of each kind of classes that its stages train.
  void CheckClasses() {
    std::set<ClassRole> expected;
    if (run_.format() > 1 && !check_->checkpoints.empty()) {
      for (size_t i = 0; i < config_.stages.size(); ++i) {
        expected.insert(ClassRoleOf(StageSplit(config_, static_cast<int64_t>(i))));
      }
    }
    for (const ClassRole role : kClassRoles) {
      const std::string path = RunClassesPath(run_.path(), role);
      if (!run_.file_system()->Exists(path)) {
        if (expected.count(role) == 0) continue;
        Add(absl::DataLossError(absl::StrCat(path, " is missing")), kWithoutClasses);
        continue;
      }
      const auto names = ClassNames::Open(run_.file_system(), path);
      Add(names.ok() ? (*names)->Check() : names.status(), kWithoutClasses);
    }
  }

  void CheckMetrics() {
    const std::string path = run_.File(kMetricsFile);
    const absl::StatusOr<std::string> content = ReadFile(run_.file_system(), path);
    if (absl::IsNotFound(content.status()) && check_->checkpoints.empty()) return;
    Add(content.status(), "the history of the run is lost; training can go on");
    if (!content.ok()) return;
    const int64_t size = static_cast<int64_t>(content->size());
    if (newest_.metrics_bytes > size) {
      Add(absl::DataLossError(absl::StrCat(path, " is damaged: ", newest_.metrics_bytes - size,
                                           " bytes of it are missing")),
          "that part of the history is lost; training can go on");
    }
    const absl::StatusOr<MetricsContent> metrics =
        ReadReadableMetrics(run_.file_system(), path, run_.seal_rule());
    Add(metrics.status(), "the history of the run is lost; training can go on");
    if (!metrics.ok() || metrics->damaged.empty()) return;
    Add(absl::DataLossError(absl::StrCat(path, " is damaged: ", DescribeLines(metrics->damaged),
                                         " cannot be read")),
        "the curves miss these lines; training can go on");
  }

  void CheckResults() {
    const std::string path = run_.File("results.json");
    if (!run_.file_system()->Exists(path)) return;  // Nothing was evaluated yet.
    absl::StatusOr<std::string> text = ReadFile(run_.file_system(), path);
    absl::Status status = text.status();
    if (status.ok()) status = ParseSealedJson(*text, path, run_.seal_rule()).status();
    Add(status, "protopage eval measures again");
  }

  const RunDirectory& run_;
  const TrainConfig& config_;
  ThreadPool* const pool_;
  const RunCheckProgress& progress_;
  RunCheck* check_ = nullptr;
  CheckpointState newest_;
};

}  // namespace

absl::StatusOr<RunCheck> CheckRun(FileSystem* fs, const std::string& directory, ThreadPool* pool,
                                  const RunCheckProgress& progress) {
  RunCheck check;
  const absl::StatusOr<RunDirectory> run = RunDirectory::Open(fs, directory);
  absl::Status status = run.status();
  if (absl::IsNotFound(status)) return status;
  absl::StatusOr<TrainConfig> config = TrainConfig();
  if (status.ok()) {
    config = ReadTrainConfig(run->config(), {}, run->File("config.json"));
    status = config.status();
  }
  if (!status.ok()) {
    check.findings.push_back({std::string(status.message()),
                              "no verb can read the run, and nothing else of it was checked; the "
                              "config that it was started with can take the file's place",
                              -1});
    return check;
  }
  check.format = run->format();
  Checker checker(*run, *config, pool, progress);
  PROTOPAGE_RETURN_IF_ERROR(checker.Check(&check));
  return check;
}

}  // namespace protopage
