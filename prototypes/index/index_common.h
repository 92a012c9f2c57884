// What the kinds of ClassIndex have in common. Private to class_index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_
#define PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"

namespace protopage {

inline constexpr int64_t kIndexFormatVersion = 1;
inline constexpr char kFlat[] = "flat";
inline constexpr char kIvfSq8[] = "ivf_sq8";
inline constexpr char kIvfPq[] = "ivf_pq";

// The checks of ClassIndex::Search.
absl::Status CheckSearch(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                         int64_t dim);

// The checks of ClassIndex::Update; returns positions in `ids`, in the order of the ids.
absl::StatusOr<std::vector<int64_t>> CheckUpdate(absl::Span<const ClassId> ids,
                                                 ConstRowMatrixRef rows, int64_t num_classes,
                                                 int64_t dim);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_
