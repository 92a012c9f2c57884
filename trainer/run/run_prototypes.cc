#include "protopage/trainer/run/run_prototypes.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"

namespace protopage {
namespace {

absl::StatusOr<RunPrototypes> OpenRunPrototypes(FileSystem* fs, const std::string& directory,
                                                ThreadPool* pool) {
  RunPrototypes found;
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainConfig config, ReadRunConfig(fs, directory, {}));
  PROTOPAGE_ASSIGN_OR_RETURN(const RunDirectory run, RunDirectory::Open(fs, directory));
  PROTOPAGE_ASSIGN_OR_RETURN(found.checkpoint, run.LatestCheckpoint());
  PROTOPAGE_ASSIGN_OR_RETURN(const nlohmann::json state, run.ReadCheckpointState(found.checkpoint));
  const auto prototypes = state.find("prototypes");
  if (!state.is_object() || prototypes == state.end() || *prototypes != true) {
    return absl::NotFoundError(
        absl::StrCat(found.checkpoint, ", the newest checkpoint, has no prototypes yet"));
  }
  PrototypeSetOptions options;
  options.prototypes = config.prototypes;
  options.selection = config.selection;
  options.seed = config.seed;
  options.file_system = fs;
  PROTOPAGE_ASSIGN_OR_RETURN(
      found.set, PrototypeSet::OpenReadOnly(directory, found.checkpoint, options, pool));
  return found;
}

}  // namespace

absl::Status ReadRunPrototypes(FileSystem* fs, const std::string& directory, ThreadPool* pool,
                               absl::FunctionRef<absl::Status(const RunPrototypes&)> read) {
  constexpr int kAttempts = 5;
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    PROTOPAGE_ASSIGN_OR_RETURN(const RunPrototypes run, OpenRunPrototypes(fs, directory, pool));
    status = read(run);
    if (!absl::IsAborted(status)) break;
  }
  return status;
}

}  // namespace protopage
