// MetricsWriter: metrics.jsonl, one JSON object a line, in the order of the run.
//
//   "kind": "step", "stage": "source", "stage_index": 0, "step": 100, ..., "loss": 3.41, "xxh3": ...
//
// "kind" is stage_start, step, epoch, evaluation, checkpoint or stage_end; all lines have stage,
// stage_index and step, and end with a seal (base/sealed_json.h). Values that are unknown or not
// finite are left out. A line is handed to the operating system before a call returns, and is on
// the disk at the next checkpoint or stage end.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(fs, "run/metrics.jsonl"));
//   PROTOPAGE_RETURN_IF_ERROR(metrics->OnStep({.stage = "source", .step = 100}));
//
// A resumed run calls Resume with the checkpoint that it continues from, and the file ends up as if
// the run had never stopped. A damaged line costs that line alone: it stays in the file, and
// readers name it.
#ifndef PROTOPAGE_TRAINER_OBSERVERS_METRICS_WRITER_H_
#define PROTOPAGE_TRAINER_OBSERVERS_METRICS_WRITER_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/sealed_json.h"
#include "protopage/trainer/observers/observer.h"

namespace protopage {

// The checkpoint that a run continues from.
struct MetricsPosition {
  // As OnCheckpoint reported them.
  int stage_index = 0;
  int64_t step = 0;
  // The size of the file when the checkpoint was saved; -1 when it is unknown, as for checkpoints
  // of earlier versions. Then the lines themselves show where it was.
  int64_t bytes = -1;
  // Of the run's lines.
  SealRule rule = SealRule::kOptional;
};

class MetricsWriter : public TrainObserver {
 public:
  // Starts an empty file. Errors: those of FileSystem::Open.
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Create(FileSystem* fs,
                                                               const std::string& path);

  // Drops the lines after the checkpoint, except for the one of OnCheckpoint itself, and continues
  // there. No line before it is changed, damaged or not. A missing file is created. Errors: those
  // of the file system.
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Resume(FileSystem* fs,
                                                               const std::string& path,
                                                               const MetricsPosition& position);
  // After Resume: what is missing or damaged in the kept lines, as one line of text; else "".
  const std::string& damage() const { return damage_; }

  absl::Status OnStageStart(const StageReport& report) override;
  absl::Status OnStep(const StepReport& report) override;
  absl::Status OnEpochEnd(const EpochReport& report) override;
  absl::Status OnEvaluation(const EvaluationReport& report) override;
  absl::Status OnCheckpoint(const CheckpointReport& report) override;
  absl::Status OnStageEnd(const StageReport& report) override;

 private:
  MetricsWriter(std::unique_ptr<File> file, int64_t size) : file_(std::move(file)), size_(size) {}
  absl::Status Append(const nlohmann::ordered_json& line);

  const std::unique_ptr<File> file_;
  int64_t size_;  // Bytes of whole lines; a failed append is written over.
  std::string damage_;
};

struct MetricsContent {
  std::vector<nlohmann::ordered_json> lines;  // Those that are whole, without their seals.
  std::vector<int64_t> damaged;               // The numbers of the others, from 1.
};

// Reads a metrics file as far as it is readable. A last line without its newline (a run that was
// killed) is left out. Errors: NotFound, those of the file system.
absl::StatusOr<MetricsContent> ReadReadableMetrics(FileSystem* fs, const std::string& path,
                                                   SealRule rule);

// "line 1", "lines 1, 3 to 7 and 9": numbers that ascend, at least one.
std::string DescribeLines(const std::vector<int64_t>& numbers);

// The same, of a file without damage. Errors: as above; DataLoss, naming the damaged lines.
absl::StatusOr<std::vector<nlohmann::ordered_json>> ReadMetrics(FileSystem* fs,
                                                                const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_METRICS_WRITER_H_
