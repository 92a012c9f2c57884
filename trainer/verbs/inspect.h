// Inspection: the description of a prototype store, or of a run's, that `protopage inspect` prints.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const Inspection found, InspectRun(fs, "runs/a", {}, &pool));
//   std::cout << FormatInspection(found);
#ifndef PROTOPAGE_TRAINER_VERBS_INSPECT_H_
#define PROTOPAGE_TRAINER_VERBS_INSPECT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/store_inspection.h"

namespace protopage {

struct Inspection {
  StoreInspection store;
  // Of a run only: the folder of its newest checkpoint, which the store is read as of, and the log
  // with the changes since the main file's checkpoint.
  std::string checkpoint;
  int64_t log_segments = 0;
  int64_t log_bytes = 0;
};

// A store's file by itself; of a run, that is an older checkpoint. Errors: NotFound,
// InvalidArgument (a file of another kind), DataLoss (damaged).
absl::StatusOr<Inspection> InspectFile(FileSystem* fs, const std::string& path,
                                       const StoreInspectionOptions& options, ThreadPool* pool);

// The prototypes of a checkpoint of the run in `directory`, -1 for the newest; the run may train on
// meanwhile.
// Errors: NotFound (no run, no checkpoint, or none with prototypes), DataLoss; Aborted when the run
// has removed the checkpoint.
absl::StatusOr<Inspection> InspectRun(FileSystem* fs, const std::string& directory,
                                      const StoreInspectionOptions& options, ThreadPool* pool,
                                      int64_t checkpoint = -1);

// Lines of text.
std::string FormatInspection(const Inspection& inspection);
nlohmann::ordered_json ToJson(const Inspection& inspection);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_INSPECT_H_
