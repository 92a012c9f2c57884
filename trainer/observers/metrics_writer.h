// MetricsWriter: metrics.jsonl, one JSON object a line, in the order of the run.
//
//   "kind": "step", "stage": "source", "stage_index": 0, "step": 100, ..., "loss": 3.41
//
// "kind" is stage_start, step, epoch, evaluation, checkpoint or stage_end; all lines have stage,
// stage_index and step. Values that are unknown or not finite are left out. A line is handed to the
// operating system before a call returns, and is on the disk at the next checkpoint or stage end.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(fs, "run/metrics.jsonl"));
//   PROTOPAGE_RETURN_IF_ERROR(metrics->OnStep({.stage = "source", .step = 100}));
//
// A resumed run calls Resume with the checkpoint that it continues from, and the file ends up as if
// the run had never stopped.
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
#include "protopage/trainer/observers/observer.h"

namespace protopage {

class MetricsWriter : public TrainObserver {
 public:
  // Starts an empty file. Errors: those of FileSystem::Open.
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Create(FileSystem* fs,
                                                               const std::string& path);

  // Continues after the checkpoint that OnCheckpoint reported with this stage_index and step: later
  // lines of the file are dropped. A missing file is created. Errors: DataLoss when a line before
  // that point is not a JSON object with stage_index and step (the line's number is named).
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Resume(FileSystem* fs,
                                                               const std::string& path,
                                                               int stage_index, int64_t step);

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
};

// The lines of a metrics file. A last line without its newline (a run that was killed) is left out.
// Errors: NotFound, DataLoss naming the line.
absl::StatusOr<std::vector<nlohmann::ordered_json>> ReadMetrics(FileSystem* fs,
                                                                const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_METRICS_WRITER_H_
