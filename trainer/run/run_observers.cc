#include "protopage/trainer/run/run_observers.h"

#include <memory>
#include <utility>

#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/observers/report_writer.h"
#include "protopage/trainer/observers/tensorboard_writer.h"
#include "protopage/trainer/run/run_checkpoint.h"

namespace protopage {

absl::Status AddFileObservers(const RunDirectory& run, const std::string& title,
                              const nlohmann::ordered_json& config, const CheckpointState* resumed,
                              ObserverList* observers) {
  FileSystem* const fs = run.file_system();
  const std::string metrics_path = run.File(kMetricsFile);
  std::unique_ptr<MetricsWriter> metrics;
  if (resumed == nullptr) {
    PROTOPAGE_ASSIGN_OR_RETURN(metrics, MetricsWriter::Create(fs, metrics_path));
  } else {
    MetricsPosition position;
    position.stage_index = static_cast<int>(resumed->position.stage);
    position.step = resumed->position.run_step;
    position.bytes = resumed->metrics_bytes;
    position.rule = run.seal_rule();
    PROTOPAGE_ASSIGN_OR_RETURN(metrics, MetricsWriter::Resume(fs, metrics_path, position));
    if (!metrics->damage().empty()) {
      PROTOPAGE_RETURN_IF_ERROR(observers->OnMessage({LogLevel::kWarning, metrics->damage()}));
    }
  }
  observers->Add(std::move(metrics));
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto board, TensorBoardWriter::Create(fs, run.path(),
                                            resumed != nullptr ? resumed->position.run_step : 0));
  observers->Add(std::move(board));
  observers->Add(
      std::make_unique<ReportWriter>(fs, metrics_path, run.File("report.html"), title, config));
  return absl::OkStatus();
}

}  // namespace protopage
