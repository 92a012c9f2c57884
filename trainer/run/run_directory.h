// RunDirectory: the directory of a run, which holds all that it writes.
//
//   config.json       the resolved config, and the format of the run
//   classes/          the names of the classes (run_classes.h)
//   metrics.jsonl     one object a logged step, evaluation, ...
//   prototypes.h5     the prototype table, as of an old checkpoint
//   queues.h5         the queues, as of the same one
//   log/              the changes of both since (prototypes/FORMAT.md)
//   checkpoints/      one folder a checkpoint, named by its number; complete when it holds DONE,
//                     the list of its files (checkpoint_manifest.h)
//   results.json      the evaluations so far
//   report.html       the page that shows the run
//   lock              locked by the process that trains
//
// Its files are written by their owners; the directory is made, locked and read here:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(RunDirectory run, RunDirectory::Create(fs, "runs/a", config_json));
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder, run.BeginCheckpoint(120));
//   ...  // Write files into the folder.
//   PROTOPAGE_RETURN_IF_ERROR(run.CommitCheckpoint(120, state, /*keep=*/2));
//
// A process that dies at any instant leaves either no run yet, which Create completes, or a run
// that Resume opens.
//
// The JSON files of a run are sealed (base/sealed_json.h). Runs of format 1, of earlier versions,
// may have files without seals; config.json says which format a run has.
//
// Only names of our own form count. All other files and folders are somebody else's: they are never
// removed, and never taken for a checkpoint. A checkpoint's folder that was copied to another
// number, or that is of another run, does not count either, since its DONE tells which one it is.
#ifndef PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_
#define PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/sealed_json.h"
#include "protopage/trainer/run/checkpoint_manifest.h"

namespace protopage {

// The format of the runs that this program makes.
inline constexpr int64_t kRunFormat = 2;

// Removes the fields of config.json that are about the file, and no part of a config: run_format,
// run_id and xxh3. People copy the file and change it, so that the seal of a copy says nothing.
void RemoveFileFields(nlohmann::json* config);

// What is said of a folder that ListForeign finds.
inline constexpr char kIsForeign[] = " is a copy of another checkpoint, or of another run";

class RunDirectory {
 public:
  // Whether Create would succeed: makes the directory, writes to it, and undoes both. Errors: as
  // Create.
  static absl::Status CheckFree(FileSystem* fs, const std::string& path);
  // Makes the directory, locks it and writes config.json. Errors: AlreadyExists when a run lies
  // there already (the message names --resume), FailedPrecondition when another process is making
  // one, those of the file system; after the last nothing is left but a lock file where one was
  // made.
  static absl::StatusOr<RunDirectory> Create(FileSystem* fs, const std::string& path,
                                             const nlohmann::ordered_json& config);
  // For reading. Errors: NotFound when no run lies there, DataLoss (config.json is damaged),
  // FailedPrecondition (a newer format).
  static absl::StatusOr<RunDirectory> Open(FileSystem* fs, const std::string& path);
  // To train on, locked. Errors: as Open; FailedPrecondition when another process trains in it.
  static absl::StatusOr<RunDirectory> Resume(FileSystem* fs, const std::string& path);

  FileSystem* file_system() const { return fs_; }
  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const { return JoinPath(path_, name); }
  // The folder of a checkpoint.
  std::string CheckpointPath(int64_t number) const;
  // The config, without the fields of the file itself.
  const nlohmann::json& config() const { return config_; }
  // Replaces config.json.
  absl::Status WriteConfigJson(const nlohmann::ordered_json& config);
  int64_t format() const { return format_; }
  // What is expected of the run's JSON files.
  SealRule seal_rule() const { return format_ == 1 ? SealRule::kOptional : SealRule::kRequired; }

  // A folder for the files of the checkpoint; the remains of an earlier attempt are removed, and a
  // foreign file of that name is moved aside.
  absl::StatusOr<std::string> BeginCheckpoint(int64_t number);
  // Writes state.json, makes the folder durable and marks it DONE; then removes all but the newest
  // `keep`.
  absl::Status CommitCheckpoint(int64_t number, const nlohmann::ordered_json& state, int64_t keep);

  // Removes unfinished checkpoints, which a process leaves that dies before CommitCheckpoint ends,
  // and complete ones except for the newest `keep`.
  absl::Status CleanCheckpoints(int64_t keep);
  // Removes the checkpoints after `number`, durably, to go on from there.
  absl::Status RemoveCheckpointsAfter(int64_t number);

  // The folder of the newest complete checkpoint. Errors: NotFound when there is none, DataLoss
  // when it is damaged, with the way to go on from an older one.
  absl::StatusOr<std::string> LatestCheckpoint() const;
  // That of checkpoint `number`. Errors: NotFound with those that exist, DataLoss.
  absl::StatusOr<std::string> FindCheckpoint(int64_t number) const;
  // The oldest one. Errors: NotFound, DataLoss.
  absl::StatusOr<std::string> OldestCheckpoint() const;
  // The number of the newest one, damaged or not. Errors: NotFound; Aborted when checkpoints were
  // removed while they were listed.
  absl::StatusOr<int64_t> LatestNumber() const;
  // The numbers of all complete checkpoints, damaged ones included, ascending.
  absl::StatusOr<std::vector<int64_t>> ListCheckpoints() const;
  // The folders of complete checkpoints that do not count: copies, and those of other runs.
  absl::StatusOr<std::vector<std::string>> ListForeign() const;
  // Compares the files of the checkpoint in `folder` with its DONE. Errors: DataLoss.
  absl::Status CheckCheckpoint(const std::string& folder, CheckDepth depth) const;
  // Adds to a DataLoss of the checkpoint in `folder` which older one is whole, and how to use it.
  absl::Status WithWayOut(const absl::Status& status, const std::string& folder) const;
  // Whether `folder` is a complete checkpoint, of whatever run.
  static bool IsCheckpoint(FileSystem* fs, const std::string& folder);
  // state.json of a checkpoint's folder. Errors: NotFound, DataLoss.
  absl::StatusOr<nlohmann::json> ReadCheckpointState(const std::string& checkpoint) const;

  // What was found and left alone since the last call, one line each.
  std::vector<std::string> TakeNotes();

 private:
  RunDirectory(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  absl::Status ReadConfigFile();
  absl::Status Lock();
  // The folders with names of our form, ascending, and whether each is a complete checkpoint.
  absl::StatusOr<std::vector<std::pair<int64_t, bool>>> ListFolders() const;
  absl::StatusOr<std::string> Checked(int64_t number, CheckDepth depth) const;
  // Whether DONE of this folder says that it is another checkpoint's copy, or of another run.
  bool IsForeign(const absl::StatusOr<CheckpointManifest>& manifest, int64_t number) const;
  bool IsOfOtherRun(const CheckpointManifest& manifest) const;
  // Removes our files in it, DONE first, and the folder unless foreign files are left.
  absl::Status RemoveFolder(const std::string& folder);
  absl::Status MoveAside(const std::string& path, absl::string_view what);

  FileSystem* fs_;
  std::string path_;
  nlohmann::json config_;
  // Random, 16 hexadecimal digits; "" for runs of earlier programs, and where a copy of the config
  // has taken the place of config.json.
  std::string run_id_;
  int64_t format_ = kRunFormat;
  std::vector<std::string> notes_;
  std::shared_ptr<class File> lock_;  // Null when open for reading.
};

// The first of "base-1", "base-2", ... that does not exist.
std::string FirstFreePath(FileSystem* fs, const std::string& base);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_
