// The experiment of the Keras demo keras-lbl-IvS: CIFAR-10 source training, CIFAR-100 imprinted,
// dominant training with 30 of the 100 classes a step. `bazel run //trainer:cifar -- --help`.
#include <string>
#include <utility>
#include <vector>

#include "protopage/eval/text_table.h"
#include "protopage/trainer/configs/presets.h"
#include "protopage/trainer/verbs/job.h"
#include "protopage/trainer/verbs/run_main.h"

namespace protopage {
namespace {

// Our results next to those that the demo published.
std::string DemoTable(const TrainResult& result) {
  const std::vector<std::pair<std::string, std::string>> published = {
      {"source", "0.787"}, {"imprinted", "0.208"}, {"dominant", "0.574"}};
  TextTable table({"closed-set accuracy", "protopage", "demo"});
  for (const EvalReport& report : result.reports) {
    if (!report.closed_set.has_value()) continue;
    std::string demo = "-";
    for (const auto& figure : published) {
      if (figure.first == report.name) demo = figure.second;
    }
    table.AddRow({report.name, FormatFixed(report.closed_set->all.Top1(), 3), demo});
  }
  return "\n" + table.ToString();
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  protopage::Job job;
  job.name = "cifar";
  job.summary =
      "CIFAR-10 source training, CIFAR-100 imprinted and evaluated, dominant training with 30 of "
      "its 100 classes a step, evaluated again.";
  job.presets = {{"default", protopage::CifarPreset()}, {"demo", protopage::CifarDemoPreset()}};
  job.needs_data_dir = true;
  job.print = protopage::DemoTable;
  return protopage::RunMain(argc, argv, [&job](const std::vector<std::string>& arguments) {
    return protopage::RunJob(job, arguments);
  });
}
