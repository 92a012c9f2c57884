// Trainer: runs the stages of a config in a run directory, with checkpoints to continue from.
//
//   TrainOptions options;
//   options.directory = "runs/a";
//   PROTOPAGE_ASSIGN_OR_RETURN(const TrainResult result, Train(config, options));
//   std::cout << FormatComparison(result.reports);
#ifndef PROTOPAGE_TRAINER_RUN_TRAINER_H_
#define PROTOPAGE_TRAINER_RUN_TRAINER_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/session/class_identity.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

struct TrainOptions {
  std::string directory;
  bool resume = false;
  std::string title = "protopage";  // Of report.html.
  // When the images' classes are not those of the resumed run, or of prototypes.init_from.
  ClassPolicy class_policy = ClassPolicy::kExact;
  TableLogOptions log;                // Never changes a result.
  FileSystem* file_system = nullptr;  // Null means DefaultFileSystem().
  // Shows the run: hears every message and report before the files are written. Null means a
  // ProgressObserver, which prints on stderr.
  TrainObserver* console = nullptr;
};

struct TrainResult {
  // Of all evaluate stages of the run, also those before a resume.
  std::vector<EvalReport> reports;
};
// The list that results.json holds.
nlohmann::ordered_json ToJson(const TrainResult& result);

// Trains. Nothing is written before the images of all stages, init_from and the run's directory
// are found to be there and right. SIGINT or SIGTERM ends the running step, saves a checkpoint and
// returns Cancelled; a second one ends the process at once. Errors: InvalidArgument (config, or a
// resume with a changed one: the keys are named), AlreadyExists (a run lies in the directory),
// Aborted (losses that are not finite, also after a return to the last checkpoint with a tenth of
// the learning rates, which recovery.json of the run then holds), those of data, device and disk.
absl::StatusOr<TrainResult> Train(const TrainConfig& config, const TrainOptions& options);

// The config of a run with the "key=value" changes in `set`, validated. Errors: NotFound (no run),
// InvalidArgument.
absl::StatusOr<TrainConfig> ReadRunConfig(FileSystem* fs, const std::string& directory,
                                          const std::vector<std::string>& set);

// The model of a run's newest checkpoint, for eval and embed. The prototypes are opened from the
// checkpoint itself, read-only. `config` is the run's, except that its data may have changed: the
// classes of its images get the run's ids by name, as far as `class_policy` has it. Errors:
// NotFound (no run, no checkpoint), DataLoss (damaged files).
absl::StatusOr<std::unique_ptr<Session>> LoadRun(FileSystem* fs, const std::string& directory,
                                                 const TrainConfig& config,
                                                 ClassPolicy class_policy = ClassPolicy::kExact);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_TRAINER_H_
