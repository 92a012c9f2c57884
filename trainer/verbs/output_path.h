// Where a verb may write a file that a user names.
//
//   PROTOPAGE_RETURN_IF_ERROR(CheckOutput(fs, "faces.npy"));
#ifndef PROTOPAGE_TRAINER_VERBS_OUTPUT_PATH_H_
#define PROTOPAGE_TRAINER_VERBS_OUTPUT_PATH_H_

#include <string>

#include "absl/status/status.h"
#include "protopage/base/file.h"

namespace protopage {

// Errors: InvalidArgument when `path` is a file of a run, whichever, or has the name of one in its
// folder; FailedPrecondition when it is a store that another process writes.
absl::Status CheckOutput(FileSystem* fs, const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_OUTPUT_PATH_H_
