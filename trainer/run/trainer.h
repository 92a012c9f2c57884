// Trainer: runs the stages of a config in a run directory, with checkpoints to continue from.
//
//   TrainOptions options;
//   options.directory = "runs/a";
//   PROTOPAGE_ASSIGN_OR_RETURN(const TrainResult result, Train(config, options));
//   std::cout << FormatComparison(result.reports);
#ifndef PROTOPAGE_TRAINER_RUN_TRAINER_H_
#define PROTOPAGE_TRAINER_RUN_TRAINER_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
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
  // With resume: the number of the checkpoint to go on from, -1 for the newest. Later checkpoints
  // are removed.
  int64_t checkpoint = -1;
  std::string title = "protopage";  // Of report.html.
  // When the images' classes are not those of the resumed run, or of prototypes.init_from.
  ClassPolicy class_policy = ClassPolicy::kExact;
  // With resume: whether a stage in progress may go on with other images than it began with. They
  // may be others, too, where class_policy takes other classes.
  bool changed_images = false;
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
// The list that results.json holds, as "evaluations" of an object.
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

// How a run is opened for reading.
struct ReadRunOptions {
  int64_t checkpoint = -1;  // Its number; the newest if negative.
  // When the classes of the images are not those of the run.
  ClassPolicy class_policy = ClassPolicy::kExact;
};

// Calls read(session) with the model of a run, for eval and embed. The prototypes are opened from
// the checkpoint itself, read-only. `config` is the run's, except that its data may have changed:
// the classes of its images get the run's ids by name. When the run removes the newest checkpoint
// meanwhile, all is done again with the next one, as by ReadCheckpoint. Errors: those of `read`;
// NotFound (no run, no checkpoint), DataLoss (damaged files).
absl::Status ReadRun(FileSystem* fs, const std::string& directory, const TrainConfig& config,
                     const ReadRunOptions& options,
                     absl::FunctionRef<absl::Status(std::unique_ptr<Session> session)> read);

// The session alone. Reads of its prototypes are Aborted once the run has removed the checkpoint.
absl::StatusOr<std::unique_ptr<Session>> LoadRun(FileSystem* fs, const std::string& directory,
                                                 const TrainConfig& config,
                                                 const ReadRunOptions& options = {});

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_TRAINER_H_
