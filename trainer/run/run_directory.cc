#include "protopage/trainer/run/run_directory.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "protopage/base/json_text.h"
#include "protopage/base/nonce.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr char kConfig[] = "config.json";
constexpr char kCheckpoints[] = "checkpoints";
constexpr char kState[] = "state.json";
constexpr char kFormat[] = "run_format";
constexpr char kRunId[] = "run_id";
constexpr char kLock[] = "lock";

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

void RemoveFileFields(nlohmann::json* config) {
  if (!config->is_object()) return;
  config->erase(kFormat);
  config->erase(kRunId);
  config->erase(kSealKey);
}

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
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t id, RandomNonce());
  run.run_id_ = absl::StrFormat("%016x", id);
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
  // A process that died here may have made the directory itself, and the folder in it.
  const bool made = missing.size() > 1;
  if (status.ok() && !made) status = fs->SyncDirectory(DirectoryOf(path));
  if (status.ok() && missing.empty()) status = fs->SyncDirectory(path);
  if (status.ok()) status = run.WriteConfigJson(config);
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
  PROTOPAGE_RETURN_IF_ERROR(run.ReadConfigFile());
  return run;
}

absl::StatusOr<RunDirectory> RunDirectory::Resume(FileSystem* fs, const std::string& path) {
  PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory run, Open(fs, path));
  PROTOPAGE_RETURN_IF_ERROR(run.Lock());
  return run;
}

absl::Status RunDirectory::ReadConfigFile() {
  const std::string path = File(kConfig);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs_, path));
  PROTOPAGE_ASSIGN_OR_RETURN(config_, ParseSealedJson(text, path, SealRule::kOptional));
  // No flipped bit makes a config of another format of it: one that has the field is sealed.
  const bool has_format = config_.is_object() && config_.contains(kFormat);
  format_ = 1;
  if (!has_format) {
    RemoveFileFields(&config_);  // What an edit has left of them.
    return absl::OkStatus();
  }
  PROTOPAGE_RETURN_IF_ERROR(Unseal(text, path, SealRule::kRequired).status());
  const nlohmann::json& format = config_[kFormat];
  if (!format.is_number_integer() || format != kRunFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": the run has format ", ShortText(format.dump()),
                     ", and this program knows 1 and ", kRunFormat));
  }
  format_ = kRunFormat;
  if (config_.contains(kRunId) && config_[kRunId].is_string()) {
    run_id_ = config_[kRunId].get<std::string>();
  }
  RemoveFileFields(&config_);
  return absl::OkStatus();
}

absl::Status RunDirectory::WriteConfigJson(const nlohmann::ordered_json& config) {
  config_ = config;
  if (format_ == 1) return WriteFileAtomically(fs_, File(kConfig), DumpJson(config));
  nlohmann::ordered_json sealed = {{kFormat, kRunFormat}};
  if (!run_id_.empty()) sealed[kRunId] = run_id_;
  if (config.is_object()) sealed.update(config);
  return WriteFileAtomically(fs_, File(kConfig), SealJson(DumpJson(sealed)));
}

std::string RunDirectory::CheckpointPath(int64_t number) const {
  return JoinPath(File(kCheckpoints), CheckpointName(number));
}

absl::Status RunDirectory::RemoveFolder(const std::string& folder) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(folder));
  std::vector<std::string> ours, foreign;
  bool has_manifest = false;  // It may be a link to nothing.
  for (const std::string& name : names) {
    const bool is_ours = IsCheckpointFile(name) && !fs_->IsDirectory(JoinPath(folder, name));
    if (is_ours && name == kManifestFile) {
      has_manifest = true;
      continue;
    }
    (is_ours ? ours : foreign).push_back(name);
  }
  // DONE goes first, and durably: what a loss of power leaves or brings back of the others does not
  // count as a checkpoint.
  if (has_manifest) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(JoinPath(folder, kManifestFile)));
    PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(folder));
  }
  for (const std::string& name : ours) {
    PROTOPAGE_RETURN_IF_ERROR(fs_->Remove(JoinPath(folder, name)));
  }
  // A link to the folder goes, and what it names stays.
  if (fs_->FollowLinks(folder) != folder) return fs_->Remove(folder);
  if (foreign.empty()) return fs_->RemoveDirectory(folder);
  notes_.push_back(absl::StrCat(folder, ": the checkpoint is removed, but ", foreign[0],
                                foreign.size() > 1 ? " and others" : "",
                                " in its folder is no file of a run, and stays"));
  return absl::OkStatus();
}

absl::Status RunDirectory::MoveAside(const std::string& path, absl::string_view what) {
  const std::string target = FirstFreePath(fs_, absl::StrCat(path, ".moved"));
  notes_.push_back(absl::StrCat(path, " is ", what, ", in the way of a checkpoint: it is moved to ",
                                BaseName(target)));
  return fs_->Rename(path, target);
}

absl::StatusOr<std::string> RunDirectory::BeginCheckpoint(int64_t number) {
  const std::string folder = CheckpointPath(number);
  if (fs_->IsDirectory(folder)) {
    const absl::StatusOr<CheckpointManifest> manifest = ReadManifest(fs_, folder);
    if (manifest.ok() && manifest->number != number) {
      PROTOPAGE_RETURN_IF_ERROR(MoveAside(folder, absl::StrCat("a copy of ", manifest->number)));
    } else if (IsForeign(manifest, number)) {
      PROTOPAGE_RETURN_IF_ERROR(MoveAside(folder, "a checkpoint of another run"));
    } else {
      PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(folder));
    }
  } else if (fs_->Exists(folder)) {
    PROTOPAGE_RETURN_IF_ERROR(MoveAside(folder, "no folder"));
  }
  PROTOPAGE_RETURN_IF_ERROR(fs_->CreateDirectories(folder));
  return folder;
}

absl::Status RunDirectory::CommitCheckpoint(int64_t number, const nlohmann::ordered_json& state,
                                            int64_t keep) {
  const std::string folder = CheckpointPath(number);
  PROTOPAGE_RETURN_IF_ERROR(
      WriteFileAtomically(fs_, JoinPath(folder, kState), SealJson(DumpJson(state, 1))));
  // The names of all files are durable; then comes the mark, then the folder's own name.
  PROTOPAGE_ASSIGN_OR_RETURN(const CheckpointManifest manifest,
                             MakeManifest(fs_, folder, number, run_id_));
  PROTOPAGE_RETURN_IF_ERROR(WriteManifest(fs_, folder, manifest));
  PROTOPAGE_RETURN_IF_ERROR(fs_->SyncDirectory(File(kCheckpoints)));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, ListCheckpoints());
  int64_t kept = 0;
  for (auto other = numbers.rbegin(); other != numbers.rend(); ++other) {
    if (*other > number) continue;  // Of a run that went further before it was resumed from here.
    if (++kept > keep) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(CheckpointPath(*other)));
  }
  return absl::OkStatus();
}

absl::Status RunDirectory::CleanCheckpoints(int64_t keep) {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto folders, ListFolders());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, ListCheckpoints());
  int64_t kept = 0;
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    if (++kept > keep) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(CheckpointPath(*number)));
  }
  for (const auto& [number, complete] : folders) {
    if (!complete) PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(CheckpointPath(number)));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> foreign, ListForeign());
  for (const std::string& folder : foreign) {
    notes_.push_back(absl::StrCat(folder, kIsForeign, ": it is left alone, and does not count"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> RunDirectory::ListForeign() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto folders, ListFolders());
  std::vector<std::string> foreign;
  for (const auto& [number, complete] : folders) {
    const std::string folder = CheckpointPath(number);
    if (complete && IsForeign(ReadManifest(fs_, folder), number)) foreign.push_back(folder);
  }
  return foreign;
}

absl::Status RunDirectory::RemoveCheckpointsAfter(int64_t number) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, ListCheckpoints());
  for (auto other = numbers.rbegin(); other != numbers.rend() && *other > number; ++other) {
    notes_.push_back(absl::StrCat("the checkpoint ", CheckpointName(*other),
                                  " is removed, to go on from ", CheckpointName(number)));
    PROTOPAGE_RETURN_IF_ERROR(RemoveFolder(CheckpointPath(*other)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<int64_t, bool>>> RunDirectory::ListFolders() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_->List(File(kCheckpoints)));
  std::vector<std::pair<int64_t, bool>> folders;
  for (const std::string& name : names) {
    const std::optional<int64_t> number = ParseCheckpointName(name);
    const std::string folder = JoinPath(File(kCheckpoints), name);
    if (!number.has_value() || !fs_->IsDirectory(folder)) continue;
    // A folder that cannot be looked into may hold the newest checkpoint.
    const absl::StatusOr<PathInfo> manifest = fs_->Info(JoinPath(folder, kManifestFile));
    if (!manifest.ok() && !absl::IsNotFound(manifest.status())) return manifest.status();
    folders.emplace_back(*number, manifest.ok() && manifest->kind != PathInfo::Kind::kDirectory);
  }
  std::sort(folders.begin(), folders.end());  // By number: names have ten digits or more.
  return folders;
}

bool RunDirectory::IsForeign(const absl::StatusOr<CheckpointManifest>& manifest,
                             int64_t number) const {
  // In format 1 a wrong number may as well be a damaged one.
  if (!manifest.ok() || manifest->format == 1) return false;
  return manifest->number != number || IsOfOtherRun(*manifest);
}

bool RunDirectory::IsOfOtherRun(const CheckpointManifest& manifest) const {
  return !run_id_.empty() && manifest.run != run_id_;
}

absl::StatusOr<int64_t> RunDirectory::LatestNumber() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto folders, ListFolders());
  bool removed = false;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    if (!folder->second) continue;
    const int64_t number = folder->first;
    const absl::StatusOr<CheckpointManifest> manifest = ReadManifest(fs_, CheckpointPath(number));
    if (absl::IsNotFound(manifest.status())) {
      removed = true;
    } else if (!IsForeign(manifest, number)) {
      return number;
    }
  }
  if (removed) {
    return absl::AbortedError(absl::StrCat(path_, ": its checkpoints were removed meanwhile"));
  }
  return absl::NotFoundError(absl::StrCat(path_, " holds no complete checkpoint"));
}

absl::StatusOr<std::vector<int64_t>> RunDirectory::ListCheckpoints() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const auto folders, ListFolders());
  std::vector<int64_t> numbers;
  for (const auto& [number, complete] : folders) {
    if (!complete) continue;
    const absl::StatusOr<CheckpointManifest> manifest = ReadManifest(fs_, CheckpointPath(number));
    const bool removed = absl::IsNotFound(manifest.status());  // By another process, meanwhile.
    if (!removed && !IsForeign(manifest, number)) numbers.push_back(number);
  }
  return numbers;
}

absl::Status RunDirectory::CheckCheckpoint(const std::string& folder, CheckDepth depth) const {
  PROTOPAGE_ASSIGN_OR_RETURN(const CheckpointManifest manifest, ReadManifest(fs_, folder));
  const std::string path = JoinPath(folder, kManifestFile);
  if (CheckpointName(manifest.number) != BaseName(folder)) {
    return absl::DataLossError(
        absl::StrCat(path, " is damaged, or of another checkpoint: it says ", manifest.number));
  }
  if (manifest.format < format_) {
    return absl::DataLossError(absl::StrCat(path, " is damaged: it has no list of files"));
  }
  if (IsOfOtherRun(manifest)) {
    return absl::DataLossError(absl::StrCat(path, ": the checkpoint is of another run"));
  }
  return CheckFiles(fs_, folder, manifest, depth);
}

absl::Status RunDirectory::WithWayOut(const absl::Status& status, const std::string& folder) const {
  const std::optional<int64_t> number = ParseCheckpointName(BaseName(folder));
  // Damage of other files is damage of all checkpoints.
  if (!absl::IsDataLoss(status) || !number.has_value()) return status;
  if (!absl::StrContains(status.message(), folder)) return status;
  const absl::StatusOr<std::vector<int64_t>> numbers = ListCheckpoints();
  std::string way = "no older checkpoint is whole";
  if (numbers.ok()) {
    for (auto other = numbers->rbegin(); other != numbers->rend(); ++other) {
      if (*other >= *number) continue;
      if (!CheckCheckpoint(CheckpointPath(*other), CheckDepth::kAll).ok()) continue;
      way = absl::StrCat("checkpoint ", *other, " is whole: --checkpoint=", *other,
                         " reads it, or goes on from it with --resume");
      break;
    }
  }
  return absl::DataLossError(absl::StrCat(status.message(), "; ", way));
}

absl::StatusOr<std::string> RunDirectory::Checked(int64_t number, CheckDepth depth) const {
  const std::string folder = CheckpointPath(number);
  PROTOPAGE_RETURN_IF_ERROR(WithWayOut(CheckCheckpoint(folder, depth), folder));
  return folder;
}

absl::StatusOr<std::string> RunDirectory::OldestCheckpoint() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, ListCheckpoints());
  if (!numbers.empty()) return Checked(numbers.front(), CheckDepth::kSmall);
  return absl::NotFoundError(absl::StrCat(path_, " holds no complete checkpoint"));
}

absl::StatusOr<std::string> RunDirectory::LatestCheckpoint() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t number, LatestNumber());
  return Checked(number, CheckDepth::kAll);
}

absl::StatusOr<std::string> RunDirectory::FindCheckpoint(int64_t number) const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, ListCheckpoints());
  if (std::binary_search(numbers.begin(), numbers.end(), number))
    return Checked(number, CheckDepth::kAll);
  return absl::NotFoundError(absl::StrCat("--checkpoint: ", path_, " has no checkpoint ", number,
                                          ", only ", absl::StrJoin(numbers, ", ")));
}

bool RunDirectory::IsCheckpoint(FileSystem* fs, const std::string& folder) {
  return fs->Exists(JoinPath(folder, kManifestFile));
}

absl::StatusOr<nlohmann::json> RunDirectory::ReadCheckpointState(
    const std::string& checkpoint) const {
  const std::string path = JoinPath(checkpoint, kState);
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs_, path));
  return ParseSealedJson(text, path, seal_rule());
}

std::vector<std::string> RunDirectory::TakeNotes() { return std::exchange(notes_, {}); }

std::string FirstFreePath(FileSystem* fs, const std::string& base) {
  for (int64_t i = 1;; ++i) {
    const std::string path = absl::StrCat(base, "-", i);
    if (!fs->Exists(path)) return path;
  }
}

}  // namespace protopage
