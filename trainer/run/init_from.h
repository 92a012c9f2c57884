// The model file that init_from of a config names.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const std::string path, FindModelFile(fs, "runs/a"));
//   // path is "runs/a/checkpoints/0000012003/model.h5", of the newest checkpoint
#ifndef PROTOPAGE_TRAINER_RUN_INIT_FROM_H_
#define PROTOPAGE_TRAINER_RUN_INIT_FROM_H_

#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"

namespace protopage {

// `path` is the directory of a run, a checkpoint of it (RUN/checkpoints/NUMBER), or the file
// itself. Errors: NotFound (nothing there, or a run without a checkpoint), InvalidArgument (another
// directory).
absl::StatusOr<std::string> FindModelFile(FileSystem* fs, const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_INIT_FROM_H_
