// Makes a ClassIndex of the kind that its options name, or of the best kind that fits: plans,
// builds, or loads one.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       auto index, BuildClassIndex(store->num_classes(), store->dim(), {.index_bytes = 1 << 30},
//                                   &pool, [&](ClassId first, RowMatrixRef rows) {
//                                     return store->ReadRange(first, rows);
//                                   }));
//   PROTOPAGE_RETURN_IF_ERROR(index->Save(DefaultFileSystem(), path));
//   PROTOPAGE_ASSIGN_OR_RETURN(index, LoadClassIndex(DefaultFileSystem(), path, {}));
#ifndef PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_FACTORY_H_
#define PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_FACTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/index/class_index.h"

namespace protopage {

// What BuildClassIndex would make.
// Errors: InvalidArgument (sizes, options), ResourceExhausted (index_bytes; the message says how
// much is needed).
absl::StatusOr<ClassIndexPlan> PlanClassIndex(int64_t num_classes, int64_t dim,
                                              const ClassIndexOptions& options);

// Reads all rows in blocks; before that, for the ivf kinds, a sample of them, row by row. In
// addition to the index itself this takes the memory of a few blocks, and for the sample as much
// as the codes take later. `pool` is used during the call only.
// Errors: as PlanClassIndex; InvalidArgument (a row that is not finite), those of `reader`.
absl::StatusOr<std::unique_ptr<ClassIndex>> BuildClassIndex(int64_t num_classes, int64_t dim,
                                                            const ClassIndexOptions& options,
                                                            ThreadPool* pool,
                                                            RowBlockReader reader);

// Loads an index that ClassIndex::Save wrote: the same bits.
// Errors: NotFound, DataLoss, FailedPrecondition (newer format), ResourceExhausted.
absl::StatusOr<std::unique_ptr<ClassIndex>> LoadClassIndex(FileSystem* file_system,
                                                           const std::string& path,
                                                           const ClassIndexOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_CLASS_INDEX_FACTORY_H_
