#include "protopage/trainer/verbs/run_plan.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/text_table.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index_factory.h"
#include "protopage/prototypes/table/table_log.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/sampling/selection_modes.h"
#include "protopage/trainer/run/run_classes.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/open_stages.h"
#include "protopage/trainer/stages/stage_kinds.h"
#include "protopage/trainer/stages/stages.h"
#include "protopage/trainer/verbs/stage_rehearsal.h"

namespace protopage {
namespace {

// A line "NAME:  N kB" of a file of /proc, in bytes.
int64_t ProcBytes(const char* file, const std::string& name) {
  std::ifstream in(file);
  std::string word;
  while (in >> word) {
    int64_t kib = 0;
    if (word == absl::StrCat(name, ":") && in >> kib) return kib * 1024;
  }
  return 0;
}

// The plan of stage `index` as far as the config and its images say it.
absl::StatusOr<StagePlan> DescribeStage(Session* session, int64_t index) {
  const TrainConfig& config = session->config();
  const StageConfig& stage = config.stages[index];
  const StageKind& kind = GetStageKind(stage.name);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session->images().Open(StageSplit(config, index)));
  StagePlan plan;
  plan.stage = index;
  plan.name = stage.name;
  plan.trains_prototypes = kind.spec().trains_prototypes();
  plan.steps = TotalSteps(stage, StepsPerEpoch(stage, *source));
  plan.batch_size = stage.batch_size;
  plan.num_classes = source->num_classes();
  plan.active_classes = kind.ActiveClasses(config.selection, plan.num_classes);
  plan.image_bytes =
      stage.batch_size * config.data.image_size * config.data.image_size * ChannelsFor(config.data);
  plan.image_memory = (config.selection.look_ahead + 2) * plan.image_bytes;
  PROTOPAGE_ASSIGN_OR_RETURN(plan.image_seconds,
                             MeasureImages(*session, *source, stage.batch_size));
  return plan;
}

// Opens and checks the images as training does, and describes the training stages.
absl::Status DescribeStages(const TrainConfig& config, ClassPolicy policy, RunPlan* plan) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session, Session::Create(config));
  const bool on_gpu = session->backend()->device() == DeviceType::kCuda;
  const int64_t net = on_gpu ? 0 : session->backend()->allocated_bytes();
  const std::shared_ptr<ClassIdentity> classes = NewLoggingIdentity(policy);
  PROTOPAGE_RETURN_IF_ERROR(UseInitFromClasses(DefaultFileSystem(), config, classes.get()));
  UseClassIdentity(classes, session.get());
  PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, 0));
  PROTOPAGE_RETURN_IF_ERROR(CheckNewPrototypes(*session, 0, /*there=*/false));
  plan->process_memory = std::max<int64_t>(0, ProcBytes("/proc/self/status", "VmRSS") - net);
  for (size_t i = 0; i < config.stages.size(); ++i) {
    if (!config.stages[i].trains()) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(StagePlan stage,
                               DescribeStage(session.get(), static_cast<int64_t>(i)));
    plan->stages.push_back(std::move(stage));
  }
  return absl::OkStatus();
}

absl::Status AddRehearsal(const TrainConfig& config, StagePlan* plan) {
  PROTOPAGE_ASSIGN_OR_RETURN(
      const RehearsedStage measured,
      RehearseStage(config, plan->stage, plan->num_classes, plan->active_classes));
  plan->step_seconds = measured.step_seconds;
  plan->model_memory = measured.model_memory;
  plan->on_gpu = measured.on_gpu;
  plan->checkpoint_bytes = measured.checkpoint_bytes;
  if (plan->trains_prototypes) plan->class_bytes = measured.class_bytes;
  return absl::OkStatus();
}

absl::Status PlanTable(const TrainConfig& config, int64_t dim, StagePlan* plan) {
  PrototypeSetOptions set_options;
  set_options.prototypes = config.prototypes;
  set_options.selection = config.selection;
  set_options.seed = config.seed;
  const DominantKind kind = DominantKindOf(config.selection.mode);
  if (kind != DominantKind::kNone) {
    PROTOPAGE_ASSIGN_OR_RETURN(
        const ClassIndexPlan index,
        PlanClassIndex(plan->num_classes, dim, PrototypeSet::IndexOptions(set_options)));
    plan->index_kind = index.kind;
    plan->index_memory = index.bytes;
    plan->checkpoint_bytes += index.bytes;
    plan->candidate_rows = static_cast<int64_t>(
        static_cast<double>(config.selection.positive_classes * config.selection.candidate_queue) *
        index.candidates);
    const int64_t element_bytes = config.prototypes.dtype == "float16" ? 2 : 4;
    plan->candidate_bytes_read = plan->candidate_rows * dim * element_bytes;
  }
  plan->table_bytes = plan->class_bytes * plan->num_classes;
  plan->row_cache = std::min(config.prototypes.cache_bytes, plan->table_bytes);
  plan->row_bytes_read = plan->active_classes * plan->class_bytes;

  // The changes of a checkpoint interval are logged once, more often only if the cache is small.
  const TableLogOptions log;
  int64_t interval = plan->steps;
  if (config.checkpoint_every_steps > 0) {
    interval = std::min(interval, config.checkpoint_every_steps);
  }
  const int64_t rows = std::min(plan->num_classes, interval * plan->active_classes);
  const int64_t segment = std::min(log.segment_bytes, rows * plan->class_bytes);
  plan->log_bytes = (config.keep_checkpoints + 1) * segment + std::min(log.merge_bytes, segment);
  const int64_t log_rows = std::min(rows * (config.keep_checkpoints + 1), plan->num_classes);
  plan->other_memory = std::min(log.index_bytes, 40 * log_rows) +
                       (kind == DominantKind::kQueues ? ClassQueuesOptions().cache_bytes : 0);
  return absl::OkStatus();
}

// Where the time of a step goes, when the page cache has its share of the table.
void PlanStepTime(const RunPlanOptions& options, int64_t page_cache, StagePlan* stage) {
  // Rows lie anywhere: the caches have the share of a step's rows that they have of the table.
  if (stage->table_bytes > 0) {
    const auto table = static_cast<double>(stage->table_bytes);
    const double on_disk =
        std::max(0.0, 1 - static_cast<double>(page_cache + stage->row_cache) / table);
    // A row and its state each, and the block of checksums that both share.
    const double reads = 3.0 * static_cast<double>(stage->active_classes) +
                         2.0 * static_cast<double>(stage->candidate_rows);
    stage->row_seconds = on_disk * reads / options.reads_per_second;
  }
  stage->bottleneck = "compute";
  if (stage->image_seconds > stage->step_seconds) stage->bottleneck = "images";
  if (stage->row_seconds > std::max(stage->step_seconds, stage->image_seconds)) {
    stage->bottleneck = "rows";
  }
}

// Sets the needs of all stages together.
void AddTotals(const TrainConfig& config, const RunPlanOptions& options, RunPlan* plan) {
  int64_t stage_memory = 0, tables = 0, checkpoint = 0;
  for (const StagePlan& stage : plan->stages) {
    stage_memory = std::max(stage_memory, stage.memory());
    tables = std::max(tables, stage.table_bytes + stage.log_bytes);
    checkpoint = std::max(checkpoint, stage.checkpoint_bytes);
  }
  plan->resident_memory = plan->process_memory + stage_memory;
  plan->disk_bytes = tables + (config.keep_checkpoints + 1) * checkpoint;
  plan->memory_there = ProcBytes("/proc/meminfo", "MemTotal");
  plan->page_cache =
      options.page_cache_bytes > 0
          ? options.page_cache_bytes
          : std::max<int64_t>(0, ProcBytes("/proc/meminfo", "MemAvailable") - stage_memory);
}

void AddWarnings(const TrainConfig& config, RunPlan* plan) {
  for (const StagePlan& stage : plan->stages) {
    const int64_t cached = stage.class_bytes > 0 ? stage.row_cache / stage.class_bytes : 0;
    const int64_t wanted = (config.selection.look_ahead + 2) * stage.active_classes;
    if (stage.trains_prototypes && cached < std::min(wanted, stage.num_classes)) {
      plan->warnings.push_back(absl::StrCat("prototypes.cache_bytes holds about ", cached,
                                            " rows; the ", config.selection.look_ahead,
                                            " steps ahead and the running one have ", wanted));
    }
  }
  if (plan->resident_memory > plan->memory_there) {
    plan->warnings.push_back(absl::StrCat("the machine has ", FormatBytes(plan->memory_there),
                                          " of memory; lower prototypes.cache_bytes, "
                                          "prototypes.index_bytes or batch_size"));
  }
}

}  // namespace

absl::StatusOr<RunPlan> PlanRun(const TrainConfig& config, const RunPlanOptions& options) {
  RunPlan plan;
  PROTOPAGE_RETURN_IF_ERROR(DescribeStages(config, options.class_policy, &plan));
  for (StagePlan& stage : plan.stages) {
    PROTOPAGE_RETURN_IF_ERROR(
        WithContext(AddRehearsal(config, &stage), absl::StrCat("stages[", stage.stage, "]")));
    if (stage.trains_prototypes) {
      PROTOPAGE_RETURN_IF_ERROR(PlanTable(config, config.model.embedding_dim, &stage));
    }
  }
  AddTotals(config, options, &plan);
  for (StagePlan& stage : plan.stages) PlanStepTime(options, plan.page_cache, &stage);
  AddWarnings(config, &plan);
  return plan;
}

}  // namespace protopage
