#include "protopage/trainer/run/run_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr char kConfig[] = "config.json";
constexpr char kCheckpoints[] = "checkpoints";
constexpr char kState[] = "state.json";
constexpr char kDone[] = "DONE";
constexpr char kLock[] = "lock";

absl::StatusOr<nlohmann::json> ReadJsonFile(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs, path));
  absl::StatusOr<nlohmann::json> json = ParseJson(text, path);
  // Nobody wrote it by hand, so it is the file that is damaged.
  if (!json.ok()) return absl::DataLossError(json.status().message());
  return json;
}

// The folders that must be made for `path` to exist, the innermost first.
std::vector<std::string> MissingFolders(FileSystem* fs, const std::string& path) {
  std::vector<std::string> missing;
  for (std::string folder = path; !fs->Exists(folder); folder = DirectoryOf(folder)) {
    missing.push_back(folder);
  }
  return missing;
}

// Removes those of `folders` that are empty.
void RemoveFolders(FileSystem* fs, const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) fs->RemoveDirectory(folder).IgnoreError();
}

absl::Status CannotMake(const absl::Status& status, const std::string& path) {
  return WithContext(status, absl::StrCat("cannot make the run directory ", path));
}

absl::Status CheckNoRun(FileSystem* fs, const std::string& path) {
  if (fs->Exists(JoinPath(path, kConfig))) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, " holds a run already; give --resume to go on with it, or another --out"));
  }
  if (!fs->IsDirectory(path)) return absl::OkStatus();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs->List(path));
  for (const std::string& name : names) {
    // A process that died in Create leaves these.
    if (name == kLock || IsTemporaryName(name, kConfig)) continue;
    if (name == kCheckpoints && fs->IsDirectory(JoinPath(path, name))) {
      PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> checkpoints,
                                 fs->List(JoinPath(path, name)));
      if (checkpoints.empty()) continue;
    }
    return absl::AlreadyExistsError(absl::StrCat(path, " is not empty and holds no run (there is ",
                                                 name, " but no ", kConfig,
                                                 "); give another --out"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunDirectory::CheckFree(FileSystem* fs, const std::string& path) {
  PROTOPAGE_RETURN_IF_ERROR(CheckNoRun(fs, path));
  const std::vector<std::string> missing = MissingFolders(fs, path);
  absl::Status status = fs->CreateDirectories(path);
  if (status.ok()) {
    std::string probe;
    status = OpenTemporary(fs, JoinPath(path, kConfig), &probe).status();
    if (status.ok()) status = fs->Remove(probe);
  }
  RemoveFolders(fs, missing);
  return CannotMake(status, path);
}

absl::StatusOr<RunDirectory> RunDirectory::Create(FileSystem* fs, const std::string& path,
                                                  const nlohmann::ordered_json& config) {
  PROTOPAGE_RETURN_IF_ERROR(CheckNoRun(fs, path));
  RunDirectory run(fs, path);
  const std::vector<std::string> missing = MissingFolders(fs, run.File(kCheckpoints));
  absl::Status status = fs->CreateDirectories(run.File(kCheckpoints));
  if (status.ok()) {
    status = run.Lock();
    // The files there now are the other process's.
    if (absl::IsFailedPrecondition(status)) return status;
  }
  // A config on the disk promises the rest of the directory, also after a loss of power, and is
  // found only where the names of all folders above it are on the disk. The outermost comes first.
  for (auto folder = missing.rbegin(); status.ok() && folder != missing.rend(); ++folder) {
    status = fs->SyncDirectory(DirectoryOf(*folder));
  }
  // A process that died here may have made the directory itself.
  if (status.ok()) status = fs->SyncDirectory(DirectoryOf(path));
  if (status.ok()) status = fs->SyncDirectory(path);
  if (status.ok()) status = WriteFileAtomically(fs, run.File(kConfig), DumpJson(config));
  if (!status.ok()) {
    fs->Remove(run.File(kConfig)).IgnoreError();
    // The lock file stays, as another process may have opened it, and with it the directory.
    RemoveFolders(fs, missing);
    return CannotMake(status, path);
  }
  return run;
}

absl::Status RunDirectory::Lock() {
  const bool there = fs_->Exists(File(kLock));
  PROTOPAGE_ASSIGN_OR_RETURN(
      lock_, fs_->Open(File(kLock), there ? OpenMode::kReadWrite : OpenMode::kCreate));
  const absl::Status status = lock_->Lock();
  if (!absl::IsFailedPrecondition(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": another process trains in it (", File(kLock), " is locked)"));
}

absl::StatusOr<RunDirectory> RunDirectory::Open(FileSystem* fs, const std::string& path) {
  RunDirectory run(fs, path);
  if (!fs->Exists(run.File(kConfig))) {
    return absl::NotFoundError(
        absl::StrCat(path, " holds no run: there is no ", kConfig, " in it"));
  }
  return run;
}

absl::StatusOr<RunDirectory> RunDirectory::Resume(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory run, Open(fs, path));
  PROTOPAGE_RETURN_IF_ERROR(run.Lock());
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
  PROTOPAGE_ASSIGN_OR_RETURN(std::vector<std::string> names, fs_->List(folder));
  // DONE goes first, so that the remains of an interrupted removal do not count as a checkpoint.
  const auto done = std::find(names.begin(), names.end(), kDone);
  if (done != names.end()) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(JoinPath(folder, kDone)));
    PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(folder));
    names.erase(done);
  }
  for (const std::string& name : names) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(JoinPath(folder, name)));
  }
  return fs_->RemoveDirectory(folder);
}

absl::StatusOr<std::string> RunDirectory::BeginCheckpoint(int64_t step) {
  const std::string folder = CheckpointPath(step);
  if (fs_->Exists(folder)) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(folder));
  PROTOPAGE_RETURN_IF_ERROR(fs_->CreateDirectories(folder));
  return folder;
}

absl::Status RunDirectory::CommitCheckpoint(int64_t step, const nlohmann::ordered_json& state,
                                            int64_t keep) {
  const std::string folder = CheckpointPath(step);
  PROTOPAGE_RETURN_IF_ERROR(WriteFileAtomically(fs_, JoinPath(folder, kState), DumpJson(state, 1)));
  // The files' names, then the mark, then the folder's own name.
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(folder));
  PROTOPAGE_RETURN_IF_ERROR(
      WriteFileAtomically(fs_, JoinPath(folder, kDone), absl::StrCat(step, "\n")));
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(File(kCheckpoints)));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  int64_t newer = 0;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string old = JoinPath(File(kCheckpoints), *name);
    if (old > folder) continue;  // Of a run that went further before it was resumed from here.
    if (++newer > keep) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(old));
  }
  return fs_->SyncDirectory(File(kCheckpoints));
}

absl::Status RunDirectory::CleanCheckpoints(int64_t keep) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  int64_t complete = 0;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string folder = JoinPath(File(kCheckpoints), *name);
    if (!fs_->IsDirectory(folder)) continue;
    const bool kept = IsCheckpoint(fs_, folder) && ++complete <= keep;
    if (!kept) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(folder));
  }
  return fs_->SyncDirectory(File(kCheckpoints));
}

absl::StatusOr<std::string> RunDirectory::OldestCheckpoint() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  for (const std::string& name : names) {
    const std::string folder = JoinPath(File(kCheckpoints), name);
    if (IsCheckpoint(fs_, folder)) return folder;
  }
  return absl::NotFoundError(absl::StrCat(path_, " holds no complete checkpoint"));
}

absl::StatusOr<std::string> RunDirectory::LatestCheckpoint() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const std::string folder = JoinPath(File(kCheckpoints), *name);
    if (IsCheckpoint(fs_, folder)) return folder;
  }
  return absl::NotFoundError(absl::StrCat(path_, " holds no complete checkpoint"));
}

bool RunDirectory::IsCheckpoint(FileSystem* fs, const std::string& folder) {
  return fs->Exists(JoinPath(folder, kDone));
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
