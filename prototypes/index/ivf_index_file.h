// The file of an index of kind ivf_sq8 or ivf_pq, as FORMAT.md describes it. Private to the index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_FILE_H_
#define PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/index/ivf_data.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

// Writes `data` to `path`, which is replaced atomically if it exists, and syncs it.
absl::Status SaveIvfData(const IvfData& data, FileSystem* file_system, const std::string& path);

// Reads what SaveIvfData wrote; `layout` was read from `file`. Of `options`, index_bytes is obeyed,
// and probes, if not 0, replaces the file's.
// Errors: DataLoss (the dataset is named), ResourceExhausted (index_bytes).
absl::StatusOr<IvfData> ReadIvfData(File* file, const std::string& path, const Hdf5Layout& layout,
                                    const ClassIndexOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_FILE_H_
