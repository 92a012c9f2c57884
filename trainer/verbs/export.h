// Export: the prototypes of a run in a file that other programs read.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const ExportFormat format, ChooseExportFormat("", "w.npy"));
//   PROTOPAGE_ASSIGN_OR_RETURN(const ExportStats stats,
//                              ExportPrototypes(fs, "runs/a", "w.npy", format, {}, &pool));
#ifndef PROTOPAGE_TRAINER_VERBS_EXPORT_H_
#define PROTOPAGE_TRAINER_VERBS_EXPORT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"

namespace protopage {

enum class ExportFormat {
  kNpy,   // One array [N, D] float32.
  kHdf5,  // A prototype store of its own, with the optimizer's state, as prototypes/FORMAT.md has
          // it. Sparse.
};

// By its name, or for "" by the path's ending: .npy, .h5, .hdf5. Errors: InvalidArgument.
absl::StatusOr<ExportFormat> ChooseExportFormat(absl::string_view name, absl::string_view path);

struct ExportOptions {
  int64_t checkpoint = -1;  // Its number; -1 for the newest.
  // Rows of an .npy in a block; one block is in memory at a time.
  int64_t block_rows = 4096;
  // Called before each block.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct ExportStats {
  std::string checkpoint;  // The folder of the one that was written.
  int64_t num_classes = 0;
  int64_t dim = 0;
};

// Writes the prototypes of the newest checkpoint of the run in `directory`, which may train on
// meanwhile, to `path`, which is replaced when it is complete. Errors: those of CheckOutput, of
// ReadRunPrototypes and of the disk; Aborted when the run removes one checkpoint after the other
// faster than they can be written.
absl::StatusOr<ExportStats> ExportPrototypes(FileSystem* fs, const std::string& directory,
                                             const std::string& path, ExportFormat format,
                                             const ExportOptions& options, ThreadPool* pool);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_EXPORT_H_
