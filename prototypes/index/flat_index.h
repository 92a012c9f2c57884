// The kind "flat" of ClassIndex: the rows themselves, scanned by FAISS. Private to the index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_FLAT_INDEX_H_
#define PROTOPAGE_PROTOTYPES_INDEX_FLAT_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

// Whatever options.kind is. Errors: ResourceExhausted (index_bytes).
absl::StatusOr<ClassIndexPlan> PlanFlatIndex(int64_t num_classes, int64_t dim,
                                             const ClassIndexOptions& options);

// Errors: InvalidArgument (a row that is not finite), those of `reader`.
absl::StatusOr<std::unique_ptr<ClassIndex>> BuildFlatIndex(int64_t num_classes, int64_t dim,
                                                           const ClassIndexOptions& options,
                                                           ThreadPool* pool, RowBlockReader reader);

// `layout` was read from `file`, which is at `path`. Errors: DataLoss, ResourceExhausted.
absl::StatusOr<std::unique_ptr<ClassIndex>> LoadFlatIndex(File* file, const std::string& path,
                                                          const Hdf5Layout& layout,
                                                          const ClassIndexOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_FLAT_INDEX_H_
