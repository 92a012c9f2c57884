// The prototypes of a run's checkpoint, for reading; the run may be training.
//
//   PROTOPAGE_RETURN_IF_ERROR(
//       ReadRunPrototypes(fs, "runs/a", /*checkpoint=*/-1, &pool, [&](const RunPrototypes& run) {
//         return run.set->store().ReadRange(0, rows);
//       }));
#ifndef PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_
#define PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/trainer/session/prototype_set.h"

namespace protopage {

struct RunPrototypes {
  std::string checkpoint;  // Its folder.
  std::unique_ptr<PrototypeSet> set;
};

// Calls read(prototypes) for checkpoint `checkpoint`, or for the newest if that is negative; again
// with a newer one, as ReadCheckpoint, when the run removes it meanwhile. Errors: those of `read`;
// NotFound (no run, no checkpoint, or none with prototypes), DataLoss.
absl::Status ReadRunPrototypes(FileSystem* fs, const std::string& directory, int64_t checkpoint,
                               ThreadPool* pool,
                               absl::FunctionRef<absl::Status(const RunPrototypes&)> read);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_
