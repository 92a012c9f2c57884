// Reading a checkpoint of a run that may be training, and so may remove it at any moment.
//
//   PROTOPAGE_RETURN_IF_ERROR(ReadCheckpoint(run, /*number=*/-1, [&](const std::string& folder) {
//     return LoadModel(folder);
//   }));
#ifndef PROTOPAGE_TRAINER_RUN_CHECKPOINT_READER_H_
#define PROTOPAGE_TRAINER_RUN_CHECKPOINT_READER_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "protopage/trainer/run/run_directory.h"

namespace protopage {

// Calls read(folder) for checkpoint `number`, or for the newest if that is negative. If it fails,
// and the run has a newer checkpoint by then, it is called again with that one, up to 20 times in
// all: the run removes older ones, and what a reader meets then is no damage. Errors: those of
// `read`, with the way out if a checkpoint is damaged; NotFound (no checkpoint, none of that
// number), Aborted (a newer one came each time).
absl::Status ReadCheckpoint(const RunDirectory& run, int64_t number,
                            absl::FunctionRef<absl::Status(const std::string& folder)> read);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_CHECKPOINT_READER_H_
