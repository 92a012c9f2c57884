// The prototypes of a run's newest checkpoint, for reading; the run may be training.
//
//   PROTOPAGE_RETURN_IF_ERROR(ReadRunPrototypes(fs, "runs/a", &pool, [&](const RunPrototypes& run) {
//     return run.set->store().ReadRange(0, rows);
//   }));
#ifndef PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_
#define PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_

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

// Calls read(prototypes). When the run removes the checkpoint meanwhile, which makes reads fail
// with Aborted, read is called again with the newest one, up to five times in all. Errors: those of
// `read`; NotFound (no run, no checkpoint, or none with prototypes), DataLoss.
absl::Status ReadRunPrototypes(FileSystem* fs, const std::string& directory, ThreadPool* pool,
                               absl::FunctionRef<absl::Status(const RunPrototypes&)> read);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_RUN_PROTOTYPES_H_
