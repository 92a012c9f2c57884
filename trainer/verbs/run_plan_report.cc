#include "protopage/trainer/verbs/run_plan_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/eval/text_table.h"

namespace protopage {
namespace {

std::string FormatMs(double seconds) { return absl::StrFormat("%.3g ms", seconds * 1e3); }

// Lines "  name  value  note".
class Lines {
 public:
  void Add(const char* name, const std::string& value, const std::string& note) {
    table_.AddRow({absl::StrCat("  ", name), value, note});
  }
  std::string ToString() const {
    const std::string rows = table_.ToString();
    // Without the empty header and its line.
    return rows.substr(rows.find('\n', rows.find('\n') + 1) + 1);
  }

 private:
  TextTable table_{{"", "", ""}};
};

void AddMemory(const StagePlan& stage, Lines& lines) {
  const std::string model = FormatBytes(stage.model_memory);
  if (stage.on_gpu) lines.Add("GPU memory", model, "net, optimizer, activations, the step's rows");
  lines.Add("memory", FormatBytes(stage.memory()), "");
  if (!stage.on_gpu) lines.Add("  net, optimizer, activations", model, "");
  lines.Add("  images on their way", FormatBytes(stage.image_memory), "");
  if (!stage.trains_prototypes) return;
  lines.Add("  cache of rows", FormatBytes(stage.row_cache), "at most");
  if (!stage.index_kind.empty()) {
    lines.Add("  class index", FormatBytes(stage.index_memory), stage.index_kind);
  }
  lines.Add("  queues, log", FormatBytes(stage.other_memory), "at most");
}

void AddDisk(const StagePlan& stage, Lines& lines) {
  if (stage.trains_prototypes) {
    lines.Add("disk", FormatBytes(stage.table_bytes + stage.log_bytes), "");
    lines.Add("  rows, state, queues", FormatBytes(stage.table_bytes),
              absl::StrCat(stage.class_bytes, " B a class"));
    lines.Add("  log", FormatBytes(stage.log_bytes), "at most");
  }
  lines.Add("a checkpoint", FormatBytes(stage.checkpoint_bytes), "");
}

void AddStep(const StagePlan& stage, Lines& lines) {
  lines.Add("a step", "", "");
  lines.Add("  compute", FormatMs(stage.step_seconds), "measured");
  lines.Add("  images", FormatMs(stage.image_seconds),
            absl::StrCat(FormatBytes(stage.image_bytes), " of pixels"));
  if (stage.trains_prototypes) {
    lines.Add("  rows from the disk", FormatMs(stage.row_seconds),
              absl::StrCat(FormatBytes(stage.row_bytes_read), " read and written"));
    if (stage.candidate_rows > 0) {
      lines.Add("  candidates", FormatCount(stage.candidate_rows),
                absl::StrCat(FormatBytes(stage.candidate_bytes_read), " read, at most"));
    }
  }
  lines.Add("bottleneck", stage.bottleneck, "");
}

nlohmann::ordered_json StageToJson(const StagePlan& stage) {
  return {{"stage", stage.stage},
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
          {"bottleneck", stage.bottleneck}};
}

}  // namespace

std::string FormatRunPlan(const RunPlan& plan) {
  std::string text;
  for (const StagePlan& stage : plan.stages) {
    absl::StrAppend(&text, "stage ", stage.stage + 1, ", ", stage.name, ": ",
                    FormatCount(stage.steps), " steps of ", FormatCount(stage.batch_size),
                    " images, ", FormatCount(stage.active_classes), " of ",
                    FormatCount(stage.num_classes), " classes\n");
    Lines lines;
    AddMemory(stage, lines);
    AddDisk(stage, lines);
    AddStep(stage, lines);
    absl::StrAppend(&text, lines.ToString());
  }
  absl::StrAppend(&text, "memory: ", FormatBytes(plan.resident_memory), " of the machine's ",
                  FormatBytes(plan.memory_there), "; the page cache has ",
                  FormatBytes(plan.page_cache), "\n");
  absl::StrAppend(&text, "disk: ", FormatBytes(plan.disk_bytes), "\n");
  for (const std::string& warning : plan.warnings) {
    absl::StrAppend(&text, "warning: ", warning, "\n");
  }
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
    json["stages"].push_back(StageToJson(stage));
  }
  return json;
}

}  // namespace protopage
