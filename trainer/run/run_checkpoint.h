// The checkpoints of a run, written from and read into a session.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::string folder,
//                              SaveRunCheckpoint(state, keep, sections, directory, session));
//   PROTOPAGE_RETURN_IF_ERROR(RestoreSession(state, *directory, folder, session));
#ifndef PROTOPAGE_TRAINER_RUN_RUN_CHECKPOINT_H_
#define PROTOPAGE_TRAINER_RUN_RUN_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/model/checkpoint.h"
#include "protopage/trainer/run/checkpoint_state.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// The file of metrics in a run's directory.
inline constexpr char kMetricsFile[] = "metrics.jsonl";

// The path of the model file in a checkpoint's folder.
std::string ModelPath(const std::string& folder);

// Writes a checkpoint: the arrays of `sections`, the session's prototypes, and `state`, whose
// fields about the session are filled in here. Keeps the newest `keep` checkpoints. Returns its
// folder; when this returns the checkpoint and the metrics so far are durable. Errors: those of
// device and disk.
absl::StatusOr<std::string> SaveRunCheckpoint(CheckpointState state, int64_t keep,
                                              const std::vector<CheckpointSection>& sections,
                                              RunDirectory* directory, Session* session);

// For a run without a checkpoint. Errors: DataLoss when metrics.jsonl tells that it had some.
absl::Status CheckNoneLost(const RunDirectory& run);

// Restores the session to train on from the checkpoint in `folder`: head, prototypes and, at a
// stage's end, the arrays of the model file. In the middle of a stage that file holds more than the
// session, and the stage loads it. Errors: DataLoss, those of the disk.
absl::Status RestoreSession(const CheckpointState& state, const RunDirectory& run,
                            const std::string& folder, Session* session);

// Reads the checkpoint in `folder` into a session to read only: net, head and prototypes. Errors:
// as above.
absl::Status LoadForReading(const CheckpointState& state, const RunDirectory& run,
                            const std::string& folder, Session* session);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_CHECKPOINT_H_
