#include "protopage/trainer/observers/metrics_writer.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
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

// Whole lines of `content`, parsed one after the other.
class LineReader {
 public:
  LineReader(const std::string& path, absl::string_view content) : path_(path), content_(content) {}

  // False at the end; a last line without a newline does not count.
  absl::StatusOr<bool> Next(Json* line) {
    const size_t newline = content_.find('\n', end_);
    if (newline == absl::string_view::npos) return false;
    const absl::string_view text = text_ = content_.substr(end_, newline - end_);
    end_ = newline + 1;
    ++number_;
    *line = Json::parse(text.begin(), text.end(), nullptr,
                        /*allow_exceptions=*/false);
    const bool good = line->is_object() && line->contains("stage_index") &&
                      (*line)["stage_index"].is_number_integer() && line->contains("step") &&
                      (*line)["step"].is_number_integer() && line->contains("kind") &&
                      (*line)["kind"].is_string();
    if (!good) {
      return absl::DataLossError(
          absl::StrCat(path_, " line ", number_,
                       ": expected a JSON object with kind, stage_index and step, found ",
                       text.substr(0, 60), text.size() > 60 ? "..." : ""));
    }
    return true;
  }

  // Where the line read last ends, its newline included.
  int64_t end() const { return static_cast<int64_t>(end_); }
  // Whether there are any in that line.
  bool HasZeros() const { return text_.find('\0') != absl::string_view::npos; }

 private:
  const std::string path_;
  const absl::string_view content_;
  absl::string_view text_;  // Of the line read last.
  size_t end_ = 0;
  int64_t number_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Create(FileSystem* fs,
                                                                     const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs->Open(path, OpenMode::kCreate));
  return std::unique_ptr<MetricsWriter>(new MetricsWriter(std::move(file), 0));
}

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Resume(FileSystem* fs,
                                                                     const std::string& path,
                                                                     int stage_index,
                                                                     int64_t step) {
  if (!fs->Exists(path)) return Create(fs, path);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, path));
  // Lines are in the order of the run, so the kept part is a prefix. It ends with the checkpoint's
  // own line, the last one when there are several. That line is missing when the process was killed
  // between the two.
  LineReader reader(path, content);
  const auto resume_point = std::make_pair(int64_t{stage_index}, step);
  int64_t kept = 0;
  bool found_checkpoint = false;
  for (;;) {
    Json line;
    const absl::StatusOr<bool> more = reader.Next(&line);
    if (!more.ok()) {
      // After a loss of power, zeros stand for lines that were not synced; the checkpoint's were.
      if (found_checkpoint || reader.HasZeros()) break;
      return more.status();
    }
    if (!*more) break;
    const auto point =
        std::make_pair(line["stage_index"].get<int64_t>(), line["step"].get<int64_t>());
    // What follows the checkpoint begins with the start of a stage, also where the line of the
    // checkpoint is missing.
    if (point > resume_point || (point == resume_point && line["kind"] == "stage_start")) break;
    const bool is_checkpoint = point == resume_point && line["kind"] == "checkpoint";
    if (is_checkpoint || !found_checkpoint) kept = reader.end();
    found_checkpoint |= is_checkpoint;
  }
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs->Open(path, OpenMode::kReadWrite));
  PROTOPAGE_RETURN_IF_ERROR(file->Truncate(kept));
  // Lines whose sync failed can still be read, but no later sync makes them durable.
  PROTOPAGE_RETURN_IF_ERROR(file->WriteAt(0, content.data(), kept));
  return std::unique_ptr<MetricsWriter>(new MetricsWriter(std::move(file), kept));
}

absl::Status MetricsWriter::Append(const Json& line) {
  // Names come from users' folders and need not be UTF-8.
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
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
  PROTOPAGE_RETURN_IF_ERROR(Append(StageLine("stage_end", report)));
  return file_->Sync();
}

absl::StatusOr<std::vector<Json>> ReadMetrics(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string content, ReadFile(fs, path));
  LineReader reader(path, content);
  std::vector<Json> lines;
  for (;;) {
    Json line;
    const absl::StatusOr<bool> more = reader.Next(&line);
    if (!more.ok()) return more.status();
    if (!*more) return lines;
    lines.push_back(std::move(line));
  }
}

}  // namespace protopage
