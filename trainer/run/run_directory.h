// RunDirectory: the directory of a run, which holds all that it writes.
//
//   config.json       the resolved config
//   classes/          the names of the classes (run_classes.h)
//   metrics.jsonl     one object a logged step, evaluation, ...
//   prototypes.h5     the prototype table, as of an old checkpoint
//   queues.h5         the queues, as of the same one
//   log/              the changes of both since (prototypes/FORMAT.md)
//   checkpoints/      one folder a checkpoint, named by its step; complete when it holds DONE
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
#ifndef PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_
#define PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"

namespace protopage {

class RunDirectory {
 public:
  // Whether Create would succeed: makes the directory, writes to it, and undoes both. Errors: as
  // Create.
  static absl::Status CheckFree(FileSystem* fs, const std::string& path);
  // Makes the directory, locks it and writes config.json. Errors: AlreadyExists when a run lies
  // there already (the message names --resume), FailedPrecondition when another process is making
  // one, those of the file system; after the last nothing is left of it.
  static absl::StatusOr<RunDirectory> Create(FileSystem* fs, const std::string& path,
                                             const nlohmann::ordered_json& config);
  // For reading. Errors: NotFound when no run lies there.
  static absl::StatusOr<RunDirectory> Open(FileSystem* fs, const std::string& path);
  // To train on, locked. Errors: as Open; FailedPrecondition when another process trains in it.
  static absl::StatusOr<RunDirectory> Resume(FileSystem* fs, const std::string& path);

  FileSystem* file_system() const { return fs_; }
  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const { return JoinPath(path_, name); }
  absl::StatusOr<nlohmann::json> ReadConfigJson() const;

  // An empty folder for the files of the checkpoint of `step`; the remains of an earlier attempt
  // are removed.
  absl::StatusOr<std::string> BeginCheckpoint(int64_t step);
  // Writes state.json, makes the folder durable and marks it DONE; then removes all but the newest
  // `keep`.
  absl::Status CommitCheckpoint(int64_t step, const nlohmann::ordered_json& state, int64_t keep);

  // Removes unfinished checkpoints, which a process leaves that dies before CommitCheckpoint ends,
  // and complete ones except for the newest `keep`.
  absl::Status CleanCheckpoints(int64_t keep);

  // The folder of the newest complete checkpoint. Errors: NotFound when there is none.
  absl::StatusOr<std::string> LatestCheckpoint() const;
  // Whether `folder` is a complete checkpoint, of whatever run.
  static bool IsCheckpoint(FileSystem* fs, const std::string& folder);
  // The oldest one. Errors: NotFound.
  absl::StatusOr<std::string> OldestCheckpoint() const;
  // state.json of a checkpoint's folder.
  absl::StatusOr<nlohmann::json> ReadCheckpointState(const std::string& checkpoint) const;

 private:
  RunDirectory(FileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  std::string CheckpointPath(int64_t step) const;
  absl::Status Lock();
  absl::Status RemoveFolder(const std::string& folder);

  FileSystem* fs_;
  std::string path_;
  std::shared_ptr<class File> lock_;  // Null when open for reading.
};

// The first of "base-1", "base-2", ... that does not exist.
std::string FirstFreePath(FileSystem* fs, const std::string& base);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_DIRECTORY_H_
