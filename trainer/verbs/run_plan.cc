#include "protopage/trainer/verbs/run_plan.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/data/synthetic_type.h"
#include "protopage/eval/text_table.h"
#include "protopage/model/checkpoint.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/selection_config.h"
#include "protopage/trainer/session/prototype_set.h"
#include "protopage/trainer/session/session.h"
#include "protopage/trainer/stages/stage_trainer.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

constexpr int kSteps = 4;  // Of a rehearsal; the first, which allocates, does not count.
constexpr int kReadImages = 64;

// A folder that is gone when this is.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Create() {
    std::error_code error;
    const std::filesystem::path base = std::filesystem::temp_directory_path(error);
    std::string path = (base / "protopage-plan-XXXXXX").string();
    if (error || mkdtemp(path.data()) == nullptr) {
      return absl::UnavailableError(
          absl::StrCat("cannot make a folder in ", base.string(), "; TMPDIR names another"));
    }
    return TemporaryFolder(std::move(path));
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

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

// The size as if nothing were a hole.
absl::StatusOr<int64_t> FileSize(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs->Open(path, OpenMode::kRead));
  return file->Size();
}

// The stage alone, on computed images, with no more classes than it takes to fill its steps.
TrainConfig RehearsalConfig(const TrainConfig& config, int64_t stage, int64_t num_classes) {
  TrainConfig rehearsal = config;
  rehearsal.init_from.clear();
  rehearsal.prototypes.init_from.clear();
  rehearsal.stages = {config.stages[stage]};
  rehearsal.stages[0].split.clear();
  rehearsal.stages[0].epochs = 0;
  rehearsal.stages[0].steps = kSteps;
  rehearsal.data = DataConfig();
  rehearsal.data.type = "synthetic";
  rehearsal.data.image_size = config.data.image_size;
  rehearsal.data.channels = ChannelsFor(config.data);
  // An image a class and more than a batch of them.
  const int64_t batch = config.stages[stage].batch_size;
  SyntheticConfig& synthetic = rehearsal.data.options.Mutable<SyntheticConfig>();
  synthetic.source_classes = num_classes;
  synthetic.target_classes = num_classes;
  synthetic.train_images = std::max<int64_t>(2, batch / num_classes + 1);
  // What the lists of an index take is planned for the real number of classes.
  rehearsal.prototypes.index = "auto";
  rehearsal.prototypes.index_lists = 0;
  rehearsal.selection.frozen_queues = false;
  return rehearsal;
}

absl::Status Rehearse(const TrainConfig& config, StagePlan* plan) {
  const bool dominant = plan->name == "dominant";
  // The table of a rehearsal: all classes where all take part, else a few steps' worth.
  const bool all = !dominant || config.selection.mode == "full";
  const int64_t classes =
      all ? plan->num_classes
          : std::min(plan->num_classes, std::max<int64_t>(4096, 4 * plan->active_classes));
  PROTOPAGE_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create());
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session,
                             Session::Create(RehearsalConfig(config, plan->stage, classes)));
  PROTOPAGE_ASSIGN_OR_RETURN(
      const auto trainer, dominant ? NewDominantTrainer(session.get(), 0, 0, folder.path(), false)
                                   : NewSourceTrainer(session.get(), 0, 0, false));
  std::vector<double> seconds;
  for (int64_t s = 0; s < kSteps; ++s) {
    const Stopwatch step;
    PROTOPAGE_RETURN_IF_ERROR(trainer->Step({s, s, kSteps}, 1).status());
    seconds.push_back(step.Seconds());
  }
  PROTOPAGE_RETURN_IF_ERROR(trainer->Settle());
  plan->step_seconds = *std::min_element(seconds.begin() + 1, seconds.end());
  plan->model_memory = session->backend()->allocated_bytes();
  plan->on_gpu = session->backend()->device() == DeviceType::kCuda;

  std::vector<CheckpointSection> sections = session->Sections();
  for (CheckpointSection& section : trainer->Sections()) sections.push_back(std::move(section));
  const std::string model = JoinPath(folder.path(), "model.h5");
  PROTOPAGE_RETURN_IF_ERROR(SaveCheckpoint(fs, model, sections, session->backend()));
  PROTOPAGE_ASSIGN_OR_RETURN(plan->checkpoint_bytes, FileSize(fs, model));
  if (!dominant) return absl::OkStatus();
  int64_t bytes = 0;
  for (const char* name : {"prototypes.h5", "queues.h5"}) {
    const std::string path = JoinPath(folder.path(), name);
    if (!fs->Exists(path)) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, FileSize(fs, path));
    bytes += size;
  }
  plan->class_bytes = bytes / classes;
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

  // What a checkpoint interval changes goes to the log once, more often only where the cache is
  // small.
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

// The time to read and decode the images of a step.
absl::StatusOr<double> MeasureImages(const Session& session, const ImageSource& source,
                                     int64_t batch) {
  RandomStream random(session.config().seed, RandomPurpose::kTest, 0);
  Image image;
  const Stopwatch stopwatch;
  for (int i = 0; i < kReadImages; ++i) {
    PROTOPAGE_RETURN_IF_ERROR(
        source.Read(static_cast<int64_t>(random.Below(source.size())), &image));
  }
  return stopwatch.Seconds() / kReadImages * static_cast<double>(batch) / session.LoaderThreads();
}

std::string FormatMs(double seconds) { return absl::StrFormat("%.3g ms", seconds * 1e3); }

}  // namespace

absl::StatusOr<RunPlan> PlanRun(const TrainConfig& config, const RunPlanOptions& options) {
  RunPlan plan;
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const auto session, Session::Create(config));
    const bool on_gpu = session->backend()->device() == DeviceType::kCuda;
    const int64_t net = on_gpu ? 0 : session->backend()->allocated_bytes();
    PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, 0));
    PROTOPAGE_RETURN_IF_ERROR(CheckNewPrototypes(*session, 0, /*there=*/false));
    plan.process_memory = std::max<int64_t>(0, ProcBytes("/proc/self/status", "VmRSS") - net);
    for (size_t i = 0; i < config.stages.size(); ++i) {
      const StageConfig& stage = config.stages[i];
      if (!stage.trains()) continue;
      PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session->images().Open(StageSplit(config, i)));
      StagePlan of;
      of.stage = static_cast<int64_t>(i);
      of.name = stage.name;
      of.steps = TotalSteps(stage, StepsPerEpoch(stage, *source));
      of.batch_size = stage.batch_size;
      of.num_classes = source->num_classes();
      of.active_classes = stage.name == "dominant" ? ActiveClasses(config.selection, of.num_classes)
                                                   : of.num_classes;
      of.image_bytes = stage.batch_size * config.data.image_size * config.data.image_size *
                       ChannelsFor(config.data);
      of.image_memory = (config.selection.look_ahead + 2) * of.image_bytes;
      PROTOPAGE_ASSIGN_OR_RETURN(of.image_seconds,
                                 MeasureImages(*session, *source, stage.batch_size));
      plan.stages.push_back(of);
    }
  }
  const int64_t dim = config.model.embedding_dim;
  int64_t stage_memory = 0, tables = 0, checkpoint = 0;
  for (StagePlan& stage : plan.stages) {
    PROTOPAGE_RETURN_IF_ERROR(
        WithContext(Rehearse(config, &stage), absl::StrCat("stages[", stage.stage, "]")));
    if (stage.name == "dominant") PROTOPAGE_RETURN_IF_ERROR(PlanTable(config, dim, &stage));
    stage_memory = std::max(stage_memory, stage.memory());
    tables = std::max(tables, stage.table_bytes + stage.log_bytes);
    checkpoint = std::max(checkpoint, stage.checkpoint_bytes);
  }
  plan.resident_memory = plan.process_memory + stage_memory;
  plan.disk_bytes = tables + (config.keep_checkpoints + 1) * checkpoint;
  plan.memory_there = ProcBytes("/proc/meminfo", "MemTotal");
  plan.page_cache =
      options.page_cache_bytes > 0
          ? options.page_cache_bytes
          : std::max<int64_t>(0, ProcBytes("/proc/meminfo", "MemAvailable") - stage_memory);

  for (StagePlan& stage : plan.stages) {
    // Rows lie anywhere: the caches have the share of a step's rows that they have of the table.
    if (stage.table_bytes > 0) {
      const auto table = static_cast<double>(stage.table_bytes);
      const double on_disk =
          std::max(0.0, 1 - static_cast<double>(plan.page_cache + stage.row_cache) / table);
      // A row and its state each, and the block of checksums that both share.
      const double reads = 3.0 * static_cast<double>(stage.active_classes) +
                           2.0 * static_cast<double>(stage.candidate_rows);
      stage.row_seconds = on_disk * reads / options.reads_per_second;
    }
    stage.bottleneck = "compute";
    if (stage.image_seconds > stage.step_seconds) stage.bottleneck = "images";
    if (stage.row_seconds > std::max(stage.step_seconds, stage.image_seconds)) {
      stage.bottleneck = "rows";
    }
    const int64_t cached = stage.class_bytes > 0 ? stage.row_cache / stage.class_bytes : 0;
    const int64_t wanted = (config.selection.look_ahead + 2) * stage.active_classes;
    if (stage.name == "dominant" && cached < std::min(wanted, stage.num_classes)) {
      plan.warnings.push_back(absl::StrCat("prototypes.cache_bytes holds about ", cached,
                                           " rows; the ", config.selection.look_ahead,
                                           " steps ahead and the running one have ", wanted));
    }
  }
  if (plan.resident_memory > plan.memory_there) {
    plan.warnings.push_back(absl::StrCat("the machine has ", FormatBytes(plan.memory_there),
                                         " of memory; lower prototypes.cache_bytes, "
                                         "prototypes.index_bytes or batch_size"));
  }
  return plan;
}

std::string FormatRunPlan(const RunPlan& plan) {
  std::string text;
  for (const StagePlan& stage : plan.stages) {
    absl::StrAppend(&text, "stage ", stage.stage + 1, ", ", stage.name, ": ",
                    FormatCount(stage.steps), " steps of ", FormatCount(stage.batch_size),
                    " images, ", FormatCount(stage.active_classes), " of ",
                    FormatCount(stage.num_classes), " classes\n");
    TextTable table({"", "", ""});
    const auto row = [&](const char* what, const std::string& value, const std::string& note) {
      table.AddRow({absl::StrCat("  ", what), value, note});
    };
    const std::string model = FormatBytes(stage.model_memory);
    if (stage.on_gpu) row("GPU memory", model, "net, optimizer, activations, the step's rows");
    row("memory", FormatBytes(stage.memory()), "");
    if (!stage.on_gpu) row("  net, optimizer, activations", model, "");
    row("  images on their way", FormatBytes(stage.image_memory), "");
    if (stage.name == "dominant") {
      row("  cache of rows", FormatBytes(stage.row_cache), "at most");
      if (!stage.index_kind.empty()) {
        row("  class index", FormatBytes(stage.index_memory), stage.index_kind);
      }
      row("  queues, log", FormatBytes(stage.other_memory), "at most");
      row("disk", FormatBytes(stage.table_bytes + stage.log_bytes), "");
      row("  rows, state, queues", FormatBytes(stage.table_bytes),
          absl::StrCat(stage.class_bytes, " B a class"));
      row("  log", FormatBytes(stage.log_bytes), "at most");
    }
    row("a checkpoint", FormatBytes(stage.checkpoint_bytes), "");
    row("a step", "", "");
    row("  compute", FormatMs(stage.step_seconds), "measured");
    row("  images", FormatMs(stage.image_seconds),
        absl::StrCat(FormatBytes(stage.image_bytes), " of pixels"));
    if (stage.name == "dominant") {
      row("  rows from the disk", FormatMs(stage.row_seconds),
          absl::StrCat(FormatBytes(stage.row_bytes_read), " read and written"));
      if (stage.candidate_rows > 0) {
        row("  candidates", FormatCount(stage.candidate_rows),
            absl::StrCat(FormatBytes(stage.candidate_bytes_read), " read, at most"));
      }
    }
    row("bottleneck", stage.bottleneck, "");
    const std::string rows = table.ToString();
    // Without the empty header and its line.
    absl::StrAppend(&text, rows.substr(rows.find('\n', rows.find('\n') + 1) + 1));
  }
  absl::StrAppend(&text, "memory: ", FormatBytes(plan.resident_memory), " of the machine's ",
                  FormatBytes(plan.memory_there), "; the page cache has ",
                  FormatBytes(plan.page_cache), "\n");
  absl::StrAppend(&text, "disk: ", FormatBytes(plan.disk_bytes), "\n");
  for (const std::string& warning : plan.warnings)
    absl::StrAppend(&text, "warning: ", warning, "\n");
  return text;
}

nlohmann::ordered_json ToJson(const RunPlan& plan) {
  nlohmann::ordered_json json;
  json["resident_memory"] = plan.resident_memory;
  json["process_memory"] = plan.process_memory;
  json["disk_bytes"] = plan.disk_bytes;
  json["memory_there"] = plan.memory_there;
  json["page_cache"] = plan.page_cache;
  json["warnings"] = plan.warnings;
  json["stages"] = nlohmann::ordered_json::array();
  for (const StagePlan& stage : plan.stages) {
    json["stages"].push_back({{"stage", stage.stage},
                              {"name", stage.name},
                              {"steps", stage.steps},
                              {"batch_size", stage.batch_size},
                              {"num_classes", stage.num_classes},
                              {"active_classes", stage.active_classes},
                              {"memory", stage.memory()},
                              {"model_memory", stage.model_memory},
                              {"on_gpu", stage.on_gpu},
                              {"image_memory", stage.image_memory},
                              {"row_cache", stage.row_cache},
                              {"index_memory", stage.index_memory},
                              {"index_kind", stage.index_kind},
                              {"other_memory", stage.other_memory},
                              {"class_bytes", stage.class_bytes},
                              {"table_bytes", stage.table_bytes},
                              {"log_bytes", stage.log_bytes},
                              {"checkpoint_bytes", stage.checkpoint_bytes},
                              {"row_bytes_read", stage.row_bytes_read},
                              {"candidate_rows", stage.candidate_rows},
                              {"candidate_bytes_read", stage.candidate_bytes_read},
                              {"image_bytes", stage.image_bytes},
                              {"step_seconds", stage.step_seconds},
                              {"image_seconds", stage.image_seconds},
                              {"row_seconds", stage.row_seconds},
                              {"bottleneck", stage.bottleneck}});
  }
  return json;
}

}  // namespace protopage
