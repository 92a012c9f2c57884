// Compiles the examples of headers whose behaviour commands_test.cc tests.
#include <iostream>
#include <string>
#include <vector>

#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/configs/presets.h"
#include "protopage/trainer/verbs/command_line.h"
#include "protopage/trainer/verbs/commands.h"
#include "protopage/trainer/verbs/embedding_writer.h"
#include "protopage/trainer/verbs/export.h"
#include "protopage/trainer/verbs/inspect.h"
#include "protopage/trainer/verbs/job.h"
#include "protopage/trainer/verbs/print_results.h"
#include "protopage/trainer/verbs/run_main.h"
#include "protopage/trainer/verbs/run_plan.h"
#include "protopage/trainer/verbs/run_plan_report.h"
#include "protopage/trainer/verbs/stage_rehearsal.h"
#include "protopage/trainer/verbs/store_classes.h"
#include "protopage/trainer/verbs/train_verb.h"
#include "protopage/trainer/verbs/user_config.h"
#include "protopage/trainer/verbs/verb_flags.h"

namespace protopage {
namespace {

[[maybe_unused]] int CommandsExample(int argc, char** argv) {
  return RunCommandLine(ProtopageProgram(), {argv + 1, argv + argc});
}

[[maybe_unused]] int JobExample(int argc, char** argv) {
  Job job;
  job.name = "glyphs";
  job.summary = "Trains on rendered Han characters.";
  job.presets = {{"default", GlyphsPreset()}};
  return RunJob(job, {argv + 1, argv + argc});
}

// The test has a main function of its own.
#define main RunMainExample
[[maybe_unused]] int main(int argc, char** argv);
int main(int argc, char** argv) {
  return RunMain(argc, argv, [](const std::vector<std::string>& arguments) {
    return RunCommandLine(ProtopageProgram(), arguments);
  });
}
#undef main

[[maybe_unused]] absl::Status PrintResultsExample(const EvalReport& report) {
  PROTOPAGE_RETURN_IF_ERROR(PrintResults(FormatReport(report)));
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status EmbeddingWriterExample(FileSystem* fs, const RowMatrixXf& rows,
                                                     const std::vector<int64_t>& labels,
                                                     const std::vector<std::string>& names) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto writer, EmbeddingWriter::Create(fs, "faces.h5", 512));
  PROTOPAGE_RETURN_IF_ERROR(writer->Append(rows, labels, names));
  PROTOPAGE_RETURN_IF_ERROR(writer->Finish());
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status ExportExample(FileSystem* fs, ThreadPool& pool) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ExportFormat format, ChooseExportFormat("", "w.npy"));
  PROTOPAGE_ASSIGN_OR_RETURN(const ExportStats stats,
                             ExportPrototypes(fs, "runs/a", "w.npy", format, {}, &pool));
  return stats.num_classes > 0 ? absl::OkStatus() : absl::InternalError("no classes");
}

[[maybe_unused]] absl::Status InspectExample(FileSystem* fs, ThreadPool& pool) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Inspection found, InspectRun(fs, "runs/a", {}, &pool));
  std::cout << FormatInspection(found);
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status RunPlanExample(const TrainConfig& config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const RunPlan plan, PlanRun(config, {}));
  std::cout << FormatRunPlan(plan);
  std::cout << DumpJson(ToJson(plan));
  return absl::OkStatus();
}

[[maybe_unused]] absl::StatusOr<double> StageRehearsalExample(const TrainConfig& config) {
  PROTOPAGE_ASSIGN_OR_RETURN(
      const RehearsedStage measured,
      RehearseStage(config, /*stage=*/0, /*num_classes=*/1000000, /*active_classes=*/256));
  const double seconds = measured.step_seconds;
  return seconds;
}

[[maybe_unused]] absl::Status StoreClassesExample(FileSystem* fs, Embedder& embedder,
                                                  const ImageSource& source) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<AddedClass> added,
                             AddClasses(fs, "w.h5", embedder, /*embedding_dim=*/512, source, {}));
  PROTOPAGE_RETURN_IF_ERROR(DropClasses(fs, "w.h5", {3, 7}).status());
  PROTOPAGE_RETURN_IF_ERROR(MergeClasses(fs, "w.h5", /*into=*/2, {9}).status());
  return added.empty() ? absl::InternalError("no classes") : absl::OkStatus();
}

[[maybe_unused]] absl::Status TrainVerbExample(const std::string& text) {
  TrainFlags flags;
  flags.set = {"seed=2"};
  PROTOPAGE_RETURN_IF_ERROR(RunTrain(text, "a.json", "a", flags, FormatTrainResult));
  return absl::OkStatus();
}

[[maybe_unused]] absl::Status UserConfigExample() {
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadUserConfig("a.json", {"seed=2"}));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto session, OpenRun("runs/a", {"threads=1"}));
  return session->config().seed == config.seed ? absl::OkStatus() : absl::InternalError("seed");
}

TEST(VerbFlagsTest, TheExampleOfTheHeader) {
  std::string run;
  bool json = false;
  CommandVerb verb;
  verb.flags = {RunFlag(&run), JsonFlag(&json)};

  CommandProgram program;
  program.verbs = {verb};
  PROTOPAGE_ASSERT_OK(ParseCommandLine(program, {"--run=/runs/a", "--json"}));
  EXPECT_EQ(run, "/runs/a");
  EXPECT_TRUE(json);
}

}  // namespace
}  // namespace protopage
