// Builds an index of kind ivf_sq8 or ivf_pq: trains lists and codes with a sample of the rows,
// encodes all rows, and chooses the number of probes. Private to the index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_IVF_BUILD_H_
#define PROTOPAGE_PROTOTYPES_INDEX_IVF_BUILD_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/base/thread_pool.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/index/ivf_data.h"

namespace protopage {

// `plan` is PlanIvfIndex's. Errors: InvalidArgument (a row that is not finite), Internal (FAISS),
// those of `reader`.
absl::StatusOr<IvfData> BuildIvfData(int64_t num_classes, int64_t dim, const ClassIndexPlan& plan,
                                     const ClassIndexOptions& options, ThreadPool* pool,
                                     RowBlockReader reader);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_BUILD_H_
