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
                              const nlohmann::ordered_json& config, const RunPosition& position,
                              bool resumed, ObserverList* observers) {
  FileSystem* const fs = run.file_system();
  const std::string metrics_path = run.File(kMetricsFile);
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto metrics, resumed
                        ? MetricsWriter::Resume(fs, metrics_path, static_cast<int>(position.stage),
                                                position.run_step)
                        : MetricsWriter::Create(fs, metrics_path));
  observers->Add(std::move(metrics));
  PROTOPAGE_ASSIGN_OR_RETURN(
      auto board, TensorBoardWriter::Create(fs, run.path(), resumed ? position.run_step : 0));
  observers->Add(std::move(board));
  observers->Add(
      std::make_unique<ReportWriter>(fs, metrics_path, run.File("report.html"), title, config));
  return absl::OkStatus();
}

}  // namespace protopage
