// The verbs of the `protopage` binary, and what the job binaries share with them.
//
//   ProtopageCommands commands;
//   return RunCommandLine(commands.Program(), {argv + 1, argv + argc});
#ifndef PROTOPAGE_TRAINER_VERBS_COMMANDS_H_
#define PROTOPAGE_TRAINER_VERBS_COMMANDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/verbs/command_line.h"
#include "protopage/trainer/verbs/run_plan.h"

namespace protopage {

// Flags of everything that trains.
struct TrainFlags {
  std::vector<std::string> set;
  std::string out;
  bool resume = false;
  bool json = false;

  std::vector<CommandFlag> Flags();
};

// Reads a config from `text` (`source` names it in errors) with the --set changes. Trains in
// flags.out, or in the first free of runs/NAME-1, ... (with --resume, flags.out is required), and
// prints the results to stdout by `print`, or as JSON with --json.
absl::Status RunTrain(const std::string& text, absl::string_view source, const std::string& name,
                      const TrainFlags& flags,
                      const std::function<std::string(const TrainResult&)>& print);

// The table of a run's evaluations.
std::string FormatTrainResult(const TrainResult& result);

// What the binaries print for --version.
std::string VersionText();

// Holds the variables behind the flags, so it must outlive the program made from it.
class ProtopageCommands {
 public:
  CommandProgram Program();

 private:
  absl::Status Train();
  absl::Status Eval();
  absl::Status Embed();
  absl::Status Plan();
  absl::Status Inspect();
  absl::Status Export();
  absl::Status AddClasses();
  absl::Status DropClasses();
  absl::Status MergeClasses();

  TrainFlags train_;
  std::string config_;
  std::string run_;
  std::vector<std::string> set_;
  std::string split_;
  bool json_ = false;
  std::string input_;
  std::string output_;
  std::string format_;
  std::string classes_;
  int64_t into_ = 0;
  std::string from_;
  std::string store_;
  int64_t pairs_ = 20;
  double reads_per_second_ = RunPlanOptions().reads_per_second;
};

// A job: an experiment with its configs built in, `bazel run //trainer:NAME`.
struct Job {
  std::string name;
  std::string summary;
  // By name; "default" is one of them.
  std::vector<std::pair<std::string, absl::string_view>> presets;
  bool needs_data_dir = false;
  // Text that follows the results, in addition to FormatTrainResult.
  std::function<std::string(const TrainResult&)> print;
};
int RunJob(const Job& job, const std::vector<std::string>& arguments);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_COMMANDS_H_
