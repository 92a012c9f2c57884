// ReportWriter: report.html, one page that shows a run: loss and accuracy curves of every stage,
// the evaluations side by side, the config. It needs nothing but itself (inline SVG and CSS), and
// reads well on a phone and on paper, light or dark.
//
// The page is made from metrics.jsonl, so a resumed run shows its whole past; add it to the
// ObserverList after the MetricsWriter:
//
//   observers.Add(std::move(metrics_writer));
//   observers.Add(std::make_unique<ReportWriter>(fs, "run/metrics.jsonl", "run/report.html",
//                                                "my run", config_json));
#ifndef PROTOPAGE_TRAINER_OBSERVERS_REPORT_WRITER_H_
#define PROTOPAGE_TRAINER_OBSERVERS_REPORT_WRITER_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/trainer/observers/observer.h"

namespace protopage {

// The page as text. `metrics` are the lines of metrics.jsonl; `note` stands above the curves.
std::string RenderReport(absl::string_view title, const nlohmann::ordered_json& config,
                         absl::Span<const nlohmann::ordered_json> metrics,
                         absl::string_view note = "");

// Writes the page at the end of every stage, whole or not at all.
class ReportWriter : public TrainObserver {
 public:
  ReportWriter(FileSystem* fs, std::string metrics_path, std::string report_path, std::string title,
               nlohmann::ordered_json config);
  absl::Status OnStageEnd(const StageReport& report) override;

 private:
  FileSystem* const fs_;
  const std::string metrics_path_;
  const std::string report_path_;
  const std::string title_;
  const nlohmann::ordered_json config_;
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_OBSERVERS_REPORT_WRITER_H_
