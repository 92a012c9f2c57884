// How large the ivf kinds of ClassIndex are, and how their options are resolved. Private to the
// index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_IVF_PLAN_H_
#define PROTOPAGE_PROTOTYPES_INDEX_IVF_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/prototypes/index/class_index.h"

namespace protopage {

// Memory of a list, its ids aside: the vector, and what the allocator adds to each.
inline constexpr int64_t kBytesPerList = sizeof(std::vector<int32_t>) + 16;
// Vectors of a sample that product quantization is trained with: 32 for each of 256 centroids.
inline constexpr int64_t kPqSampleRows = 8192;

// For options.kind "auto" (of the ivf kinds), "ivf_sq8" and "ivf_pq".
// Errors: InvalidArgument, ResourceExhausted (index_bytes).
absl::StatusOr<ClassIndexPlan> PlanIvfIndex(int64_t num_classes, int64_t dim,
                                            const ClassIndexOptions& options);

// Memory in bytes.
int64_t IvfBytes(int64_t num_classes, int64_t dim, int64_t lists, int64_t code_bytes, bool is_pq);

// How many rows the lists and the codes are trained with.
int64_t IvfSampleRows(int64_t num_classes, int64_t dim, int64_t lists, int64_t index_bytes);

// How many candidates are scored by their rows, for each neighbour asked for. 0: rows could only
// order what the codes chose, and are not read.
double CandidateShare(absl::string_view kind, int64_t dim, int64_t code_bytes,
                      const ClassIndexOptions& options);

// How many candidates a search for k neighbours takes, by the share that CandidateShare gives.
int64_t NumCandidates(double share, int64_t num_classes, int64_t k);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_IVF_PLAN_H_
