// What the kinds of ClassIndex have in common: names, the checks of arguments, the attributes of
// their files, and reads of scattered rows. Private to the index.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_
#define PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/table/hdf5_file.h"

namespace protopage {

inline constexpr int64_t kIndexFormatVersion = 1;
inline constexpr char kIndexFileKind[] = "class_index";
inline constexpr char kFlat[] = "flat";
inline constexpr char kIvfSq8[] = "ivf_sq8";
inline constexpr char kIvfPq[] = "ivf_pq";

// The checks of ClassIndex::Search.
absl::Status CheckSearch(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                         int64_t dim);

// The checks of ClassIndex::Update. Returns the positions in `ids` in the order of the ids.
absl::StatusOr<std::vector<int64_t>> CheckUpdate(absl::Span<const ClassId> ids,
                                                 ConstRowMatrixRef rows, int64_t num_classes,
                                                 int64_t dim);

// The size of an index by the attributes of its file, each at least 1. Errors: DataLoss.
struct IndexShape {
  int64_t num_classes = 0;
  int64_t dim = 0;
};
absl::StatusOr<IndexShape> ReadIndexShape(const std::string& path, const Hdf5Layout& layout);

// Fills `rows` [ids.size(), dim] with the rows of ascending `ids`. A run of neighbouring ids is one
// read. Errors: those of `reader`.
absl::Status ReadRuns(absl::Span<const ClassId> ids, RowBlockReader reader, RowMatrixRef rows);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_INDEX_COMMON_H_
