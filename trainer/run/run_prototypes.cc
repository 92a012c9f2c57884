#include "protopage/trainer/run/run_prototypes.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/run/checkpoint_reader.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"

namespace protopage {

absl::Status ReadRunPrototypes(FileSystem* fs, const std::string& directory, int64_t checkpoint,
                               ThreadPool* pool,
                               absl::FunctionRef<absl::Status(const RunPrototypes&)> read) {
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadRunConfig(fs, directory, {}));
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  PrototypeSetOptions options;
  options.prototypes = config.prototypes;
  options.selection = config.selection;
  options.seed = config.seed;
  options.file_system = fs;
  return ReadCheckpoint(run, checkpoint, [&](const std::string& folder) -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json state, run.ReadCheckpointState(folder));
    const auto prototypes = state.find("prototypes");
    if (!state.is_object() || prototypes == state.end() || *prototypes != true) {
      return absl::NotFoundError(absl::StrCat(
          folder, checkpoint < 0 ? ", the newest checkpoint," : "", " has no prototypes yet"));
    }
    RunPrototypes found;
    found.checkpoint = folder;
    PROTOPAGE_ASSIGN_OR_RETURN(found.set,
                               PrototypeSet::OpenReadOnly(directory, folder, options, pool));
    return read(found);
  });
}

}  // namespace protopage
