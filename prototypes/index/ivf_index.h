// The kinds ivf_sq8 and ivf_pq of ClassIndex. Private to the index.
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

// `plan` is PlanIvfIndex's. Errors: as BuildIvfData.
absl::StatusOr<std::unique_ptr<ClassIndex>> BuildIvfIndex(int64_t num_classes, int64_t dim,
                                                          const ClassIndexPlan& plan,
                                                          const ClassIndexOptions& options,
                                                          ThreadPool* pool, RowBlockReader reader);

// `layout` was read from `file`, which is at `path`. Errors: as ReadIvfData.
absl::StatusOr<std::unique_ptr<ClassIndex>> LoadIvfIndex(File* file, const std::string& path,
                                                         const Hdf5Layout& layout,
                                                         const ClassIndexOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_INDEX_H_
