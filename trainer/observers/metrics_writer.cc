#include "protopage/trainer/observers/metrics_writer.h"

#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

using Json = nlohmann::ordered_json;

// Every line starts with these.
template <typename Report>
Json Line(absl::string_view kind, const Report& report) {
  Json line;
  line["kind"] = std::string(kind);
  line["stage"] = report.stage;
  line["stage_index"] = report.stage_index;
  line["step"] = report.step;
  return line;
}

void AddKnown(absl::string_view name, double value, Json& line) {
  if (std::isfinite(value)) line[std::string(name)] = value;
}

// Adds the known figures of a report to a line.
class FigureWriter : public FigureVisitor {
 public:
  explicit FigureWriter(Json* line) : line_(line) {}
  void Number(absl::string_view name, double value) override { AddKnown(name, value, *line_); }
  void Integer(absl::string_view name, int64_t value) override {
    (*line_)[std::string(name)] = value;
  }

 private:
  Json* const line_;
};

template <typename Report>
void AddFigures(const Report& report, Json& line) {
  FigureWriter writer(&line);
  report.Figures(writer);
}

Json StageLine(absl::string_view kind, const StageReport& report) {
  Json line = Line(kind, report);
  line["stage_kind"] = report.kind;
  line["num_stages"] = report.num_stages;
  line["stage_step"] = report.stage_step;
  line["stage_steps"] = report.stage_steps;
  line["steps_per_epoch"] = report.steps_per_epoch;
  AddKnown("seconds", report.seconds, line);
  return line;
}

// A point of a run: stage_index, step.
using Point = std::pair<int64_t, int64_t>;

struct MetricsLine {
  absl::string_view text;  // With its newline.
  int64_t number = 0;      // From 1.
  int64_t begin = 0;       // In the file.
  bool whole = false;
  // If whole:
  Point point;
  bool is_checkpoint = false;
  bool is_stage_start = false;
  Json json;  // Null if it is not asked for.

  int64_t end() const { return begin + static_cast<int64_t>(text.size()); }
  bool IsCheckpoint(const Point& at) const { return is_checkpoint && point == at; }
};

bool HasInteger(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_number_integer();
}

MetricsLine ParseLine(absl::string_view text, SealRule rule) {
  MetricsLine line;
  line.text = text;
  const absl::StatusOr<std::string> plain = Unseal(text, "", rule);
  if (!plain.ok()) return line;
  Json json = Json::parse(*plain, nullptr, /*allow_exceptions=*/false);
  line.whole = json.is_object() && HasInteger(json, "stage_index") && HasInteger(json, "step") &&
               json.contains("kind") && json["kind"].is_string() && !json.contains(kSealKey);
  if (!line.whole) return line;
  line.point = {json["stage_index"].get<int64_t>(), json["step"].get<int64_t>()};
  line.is_checkpoint = json["kind"] == "checkpoint";
  line.is_stage_start = json["kind"] == "stage_start";
  line.json = std::move(json);
  return line;
}

// The lines of `content`. A last one without a newline was being written when the run was killed,
// and is left out, unless it is the newline that is damaged.
std::vector<MetricsLine> ParseLines(absl::string_view content, SealRule rule, bool keep_json) {
  std::vector<MetricsLine> lines;
  for (size_t begin = 0; begin < content.size();) {
    const size_t newline = content.find('\n', begin);
    const bool last = newline == absl::string_view::npos;
    const absl::string_view text =
        content.substr(begin, last ? absl::string_view::npos : newline + 1 - begin);
    if (last) {
      const std::string mended = absl::StrCat(text.substr(0, text.size() - 1), "\n");
      if (!ParseLine(mended, SealRule::kRequired).whole) break;
    }
    lines.push_back(ParseLine(text, rule));
    lines.back().whole = lines.back().whole && !last;
    lines.back().begin = static_cast<int64_t>(begin);
    lines.back().number = static_cast<int64_t>(lines.size());
    if (!keep_json) lines.back().json = nullptr;
    begin += text.size();
  }
  return lines;
}

// Where the part ends that a run keeps which continues at `at`, as the lines show it: with the
// checkpoint's own line, the last one if there are several. If that is missing (killed between the
// checkpoint and its line), with the last line up to that point.
int64_t FindKept(absl::Span<const MetricsLine> lines, const Point& at) {
  int64_t kept = 0;
  bool open = true;  // Damaged lines that follow count too.
  for (const MetricsLine& line : lines) {
    if (line.IsCheckpoint(at)) {
      kept = line.end();
      open = false;
    }
  }
  if (!open) return kept;
  for (const MetricsLine& line : lines) {
    if (line.whole) {
      // What follows the checkpoint begins with the start of a stage.
      open = open && line.point <= at && !(line.point == at && line.is_stage_start);
      if (open) kept = line.end();
      // After a loss of power, zeros stand for lines that were not synced.
    } else if (open && !absl::StrContains(line.text, '\0')) {
      kept = line.end();
    }
  }
  return kept;
}

std::vector<int64_t> DamagedLines(absl::Span<const MetricsLine> lines, int64_t end) {
  std::vector<int64_t> damaged;
  for (const MetricsLine& line : lines) {
    if (!line.whole && line.begin < end) damaged.push_back(line.number);
  }
  return damaged;
}

}  // namespace

std::string DescribeLines(const std::vector<int64_t>& numbers) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    parts.push_back(i == last ? absl::StrCat(numbers[i])
                              : absl::StrCat(numbers[i], " to ", numbers[last]));
    i = last + 1;
  }
  std::string text = numbers.size() == 1 ? "line " : "lines ";
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    absl::StrAppend(&text, i == 0 ? "" : last ? " and " : ", ", parts[i]);
  }
  return text;
}

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Create(FileSystem* fs,
                                                                     const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs->Open(path, OpenMode::kCreate));
  return std::unique_ptr<MetricsWriter>(new MetricsWriter(std::move(file), 0));
}

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Resume(
    FileSystem* fs, const std::string& path, const MetricsPosition& position) {
  if (!fs->Exists(path)) {
    PROTOPAGE_ASSIGN_OR_RETURN(auto writer, Create(fs, path));
    if (position.bytes > 0) {
      writer->damage_ = absl::StrCat(path, " is missing: its lines up to the checkpoint are lost");
    }
    return writer;
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, path));
  const int64_t size = static_cast<int64_t>(content.size());
  const std::vector<MetricsLine> lines = ParseLines(content, position.rule, /*keep_json=*/false);
  const Point at(position.stage_index, position.step);
  const bool known = position.bytes >= 0 && position.bytes <= size &&
                     (position.bytes == 0 || content[position.bytes - 1] == '\n');
  int64_t kept = known ? position.bytes : FindKept(lines, at);
  if (known) {
    // The checkpoint's own line was written after it.
    for (const MetricsLine& line : lines) {
      if (line.begin == position.bytes && line.IsCheckpoint(at)) kept = line.end();
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_RETURN_IF_ERROR(file->Truncate(kept));
  // Lines whose sync failed can still be read, but no later sync makes them durable.
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, content.data(), kept));
  std::unique_ptr<MetricsWriter> writer(new MetricsWriter(std::move(file), kept));
  std::vector<std::string> damage;
  const std::vector<int64_t> damaged = DamagedLines(lines, kept);
  if (!damaged.empty()) {
    damage.push_back(absl::StrCat(DescribeLines(damaged), " cannot be read; what is there stays"));
  }
  if (position.bytes > size) {
    damage.push_back(absl::StrCat(position.bytes - size, " bytes of its lines are missing"));
  }
  if (!damage.empty()) {
    writer->damage_ = absl::StrCat(path, " is damaged: ", absl::StrJoin(damage, "; "));
  }
  return writer;
}

absl::Status MetricsWriter::Append(const Json& line) {
  // Names come from users' folders and need not be UTF-8: DumpJson replaces what is not.
  const std::string text = SealJson(DumpJson(line, /*indent=*/-1));
  PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(size_, text.data(), static_cast<int64_t>(text.size())));
  size_ += static_cast<int64_t>(text.size());
  return absl::OkStatus();
}

absl::Status MetricsWriter::OnStageStart(const StageReport& report) {
  return Append(StageLine("stage_start", report));
}

absl::Status MetricsWriter::OnStep(const StepReport& report) {
  Json line = Line("step", report);
  line["stage_step"] = report.stage_step;
  line["stage_steps"] = report.stage_steps;
  line["epoch"] = report.epoch;
  line["images"] = report.images;
  AddFigures(report, line);
  return Append(line);
}

absl::Status MetricsWriter::OnEpochEnd(const EpochReport& report) {
  Json line = Line("epoch", report);
  line["epoch"] = report.epoch;
  AddFigures(report, line);
  return Append(line);
}

absl::Status MetricsWriter::OnEvaluation(const EvaluationReport& report) {
  Json line = Line("evaluation", report);
  Json scalars = Json::object();
  for (const auto& [name, value] : report.scalars) AddKnown(name, value, scalars);
  line["scalars"] = std::move(scalars);
  line["results"] = report.results;
  return Append(line);
}

absl::Status MetricsWriter::OnCheckpoint(const CheckpointReport& report) {
  Json line = Line("checkpoint", report);
  line["path"] = report.path;
  AddKnown("seconds", report.seconds, line);
  PROTOPAGE_RETURN_IF_ERROR(Append(line));
  return file_->Sync();
}

absl::Status MetricsWriter::OnStageEnd(const StageReport& report) {
  return Append(StageLine("stage_end", report));
}

absl::StatusOr<MetricsContent> ReadReadableMetrics(FileSystem* fs, const std::string& path,
                                                   SealRule rule) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, path));
  std::vector<MetricsLine> lines = ParseLines(content, rule, /*keep_json=*/true);
  MetricsContent metrics;
  metrics.damaged = DamagedLines(lines, static_cast<int64_t>(content.size()));
  for (MetricsLine& line : lines) {
    if (line.whole) metrics.lines.push_back(std::move(line.json));
  }
  return metrics;
}

absl::StatusOr<std::vector<Json>> ReadMetrics(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(MetricsContent metrics,
                             ReadReadableMetrics(fs, path, SealRule::kOptional));
  if (metrics.damaged.empty()) return std::move(metrics.lines);
  return absl::DataLossError(
      absl::StrCat(path, " is damaged: ", DescribeLines(metrics.damaged), " cannot be read"));
}

}  // namespace protopage
