#include "prototypes/neighbor_search.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace protopage {

absl::Status FindNeighbors(PrototypeStore* store, const ClassIndex& index, ThreadPool* pool,
                           absl::Span<const ClassId> ids, int64_t k,
                           absl::Span<ClassId> neighbors) {
  if (static_cast<int64_t>(neighbors.size()) != static_cast<int64_t>(ids.size()) * k) {
    return absl::InvalidArgumentError(
        absl::StrCat("room for ", neighbors.size(), " neighbors, expected ", ids.size(), " x ", k));
  }
  // Rows of one batch fit in any cache that serves a training step.
  constexpr size_t kBatch = 256;
  RowMatrixXf rows;
  NearestClasses nearest;
  for (size_t begin = 0; begin < ids.size(); begin += kBatch) {
    const absl::Span<const ClassId> batch = ids.subspan(begin, kBatch);
    rows.resize(batch.size(), store->dim());
    RETURN_IF_ERROR(store->Gather(batch, rows));
    RETURN_IF_ERROR(index.Search(rows, k, batch, pool, &nearest));
    std::copy(nearest.ids.begin(), nearest.ids.end(), neighbors.begin() + begin * k);
  }
  return absl::OkStatus();
}

}  // namespace protopage
