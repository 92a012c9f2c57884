#include "protopage/trainer/run/init_from.h"

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/trainer/run/checkpoint_manifest.h"
#include "protopage/trainer/run/run_checkpoint.h"
#include "protopage/trainer/run/run_directory.h"

namespace protopage {

absl::StatusOr<std::string> FindModelFile(FileSystem* fs, const std::string& path) {
  constexpr char kExpected[] =
      "expected the directory of a run, a checkpoint of it (RUN/checkpoints/NUMBER) or a model.h5";
  if (!fs->Exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or directory, ", kExpected));
  }
  if (!fs->IsDirectory(path)) return path;
  if (RunDirectory::IsCheckpoint(fs, path)) {
    PROTOPAGE_ASSIGN_OR_RETURN(const CheckpointManifest manifest, ReadManifest(fs, path));
    PROTOPAGE_RETURN_IF_ERROR(CheckFiles(fs, path, manifest, CheckDepth::kAll));
    return ModelPath(path);
  }
  const absl::StatusOr<RunDirectory> run = RunDirectory::Open(fs, path);
  if (absl::IsNotFound(run.status())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", path, ", which is neither a run nor a complete checkpoint; ", kExpected));
  }
  PROTOPAGE_RETURN_IF_ERROR(run.status());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string checkpoint, run->LatestCheckpoint());
  return ModelPath(checkpoint);
}

}  // namespace protopage
