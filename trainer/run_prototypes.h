// The prototypes of a run's newest checkpoint, for reading; the run may train on meanwhile.
//
//   ASSIGN_OR_RETURN(const RunPrototypes found, OpenRunPrototypes(fs, "runs/a", &pool));
//   PrototypeStore& store = found.set->store();
#ifndef PROTOPAGE_TRAINER_RUN_PROTOTYPES_H_
#define PROTOPAGE_TRAINER_RUN_PROTOTYPES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "trainer/prototype_set.h"

namespace protopage {

struct RunPrototypes {
  std::string checkpoint;  // Its folder.
  std::unique_ptr<PrototypeSet> set;
};

// Reads are Aborted once the run has removed the checkpoint. Errors: NotFound (no run, no checkpoint, or none with
// prototypes), DataLoss.
absl::StatusOr<RunPrototypes> OpenRunPrototypes(FileSystem* fs, const std::string& directory,
                                                ThreadPool* pool);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_PROTOTYPES_H_
