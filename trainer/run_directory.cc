#include "trainer/run_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/config_fields.h"
#include "base/status_macros.h"

namespace protopage {
namespace {

constexpr char kConfig[] = "config.json";
constexpr char kCheckpoints[] = "checkpoints";
constexpr char kState[] = "state.json";
constexpr char kDone[] = "DONE";

absl::StatusOr<nlohmann::json> ReadJsonFile(FileSystem* fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path));
  return ParseJson(text, path);
}

}  // namespace

absl::StatusOr<RunDirectory> RunDirectory::Create(FileSystem* fs, const std::string& path,
                                                  const nlohmann::ordered_json& config) {
  RunDirectory run(fs, path);
  if (fs->Exists(run.File(kConfig))) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, " holds a run already; give --resume to go on with it, or another --out"));
  }
  if (fs->IsDirectory(path)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(path));
    if (!names.empty()) {
      return absl::AlreadyExistsError(absl::StrCat(path, " is not empty and holds no run (no ",
                                                   kConfig, "); give another --out"));
    }
  }
  RETURN_IF_ERROR(fs->CreateDirectories(run.File(kCheckpoints)));
  RETURN_IF_ERROR(WriteFileAtomically(fs, run.File(kConfig), absl::StrCat(config.dump(2), "\n")));
  return run;
}

absl::StatusOr<RunDirectory> RunDirectory::Open(FileSystem* fs, const std::string& path) {
  RunDirectory run(fs, path);
  if (!fs->Exists(run.File(kConfig))) {
    return absl::NotFoundError(absl::StrCat(path, " holds no run: there is no ", kConfig));
  }
  return run;
}

absl::StatusOr<nlohmann::json> RunDirectory::ReadConfigJson() const {
  return ReadJsonFile(fs_, File(kConfig));
}

std::string RunDirectory::CheckpointPath(int64_t step) const {
  // Ten digits, so that the order of names is the order of steps.
  return JoinPath(File(kCheckpoints), absl::StrFormat("%010d", step));
}

absl::Status RunDirectory::RemoveFolder(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, fs_->List(folder));
  // DONE goes first: what is left of an interrupted removal does not count as a checkpoint.
  const auto done = std::find(names.begin(), names.end(), kDone);
  if (done != names.end()) std::rotate(names.begin(), done, done + 1);
  for (const std::string& name : names) {
    RETURN_IF_ERROR(fs_->Remove(JoinPath(folder, name)));
  }
  return fs_->RemoveDirectory(folder);
}

absl::StatusOr<std::string> RunDirectory::BeginCheckpoint(int64_t step) {
  const std::string folder = CheckpointPath(step);
  if (fs_->Exists(folder)) RETURN_IF_ERROR(RemoveFolder(folder));
  RETURN_IF_ERROR(fs_->CreateDirectories(folder));
  return folder;
}

absl::Status RunDirectory::CommitCheckpoint(int64_t step, const nlohmann::ordered_json& state,
                                            int64_t keep) {
  const std::string folder = CheckpointPath(step);
  RETURN_IF_ERROR(
      WriteFileAtomically(fs_, JoinPath(folder, kState), absl::StrCat(state.dump(1), "\n")));
  // The files' names, then the mark, then the folder's own name.
  RETURN_IF_ERROR(fs_->SyncDirectory(folder));
  RETURN_IF_ERROR(WriteFileAtomically(fs_, JoinPath(folder, kDone), absl::StrCat(step, "\n")));
  RETURN_IF_ERROR(fs_->SyncDirectory(File(kCheckpoints)));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  int64_t newer = 0;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string old = JoinPath(File(kCheckpoints), *name);
    if (old > folder) continue;  // Of a run that went further before it was resumed from here.
    if (++newer > keep) RETURN_IF_ERROR(RemoveFolder(old));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RunDirectory::LatestCheckpoint() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string folder = JoinPath(File(kCheckpoints), *name);
    if (fs_->Exists(JoinPath(folder, kDone))) return folder;
  }
  return absl::NotFoundError(absl::StrCat(path_, " holds no complete checkpoint"));
}

absl::StatusOr<nlohmann::json> RunDirectory::ReadCheckpointState(
    const std::string& checkpoint) const {
  return ReadJsonFile(fs_, JoinPath(checkpoint, kState));
}

std::string FirstFreePath(FileSystem* fs, const std::string& base) {
  for (int64_t i = 1;; ++i) {
    const std::string path = absl::StrCat(base, "-", i);
    if (!fs->Exists(path)) return path;
  }
}

}  // namespace protopage
