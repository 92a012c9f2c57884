// The kinds ivf_sq8 and ivf_pq of ClassIndex. Private to class_index.
//
// Codes lie in memory in the order of the classes, and a list is the ascending ids of its classes:
// a row that moves to another list is overwritten in place, and a search reads codes with
// prefetches. The candidates of a search are the best by (score descending, id ascending), a set
// that does not depend on the order in which they are met.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_H_
#define PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

// For options.kind "auto" (which takes no flat one any more), "ivf_sq8" and "ivf_pq".
absl::StatusOr<ClassIndexPlan> PlanIvfIndex(int64_t num_classes, int64_t dim,
                                            const ClassIndexOptions& options);

absl::StatusOr<std::unique_ptr<ClassIndex>> BuildIvfIndex(int64_t num_classes, int64_t dim,
                                                          const ClassIndexPlan& plan,
                                                          const ClassIndexOptions& options,
                                                          ThreadPool* pool,
                                                          ClassIndex::RowBlockReader reader);

// `layout` was read from `file`.
absl::StatusOr<std::unique_ptr<ClassIndex>> LoadIvfIndex(File* file, const std::string& path,
                                                         const Hdf5Layout& layout,
                                                         const ClassIndexOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_H_
