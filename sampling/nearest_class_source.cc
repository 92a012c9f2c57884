#include "protopage/sampling/nearest_class_source.h"

#include <algorithm>
#include <utility>

#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

NearestClassSource::NearestClassSource(int64_t count, NeighborSearchFunction search)
    : count_(count), search_(std::move(search)) {
  PROTOPAGE_CHECK(count >= 1);
}

absl::StatusOr<std::vector<ClassId>> NearestClassSource::Dominants(
    int64_t, absl::Span<const ClassId> classes) {
  std::vector<ClassId> nearest(classes.size() * count_);
  PROTOPAGE_RETURN_IF_ERROR(search_(classes, count_, absl::MakeSpan(nearest)));
  nearest.erase(std::remove(nearest.begin(), nearest.end(), kNoClass), nearest.end());
  return nearest;
}

absl::Status NearestClassSource::ApplyMistakes(absl::Span<const ClassId>, absl::Span<const int32_t>,
                                               absl::Span<const int32_t>) {
  return absl::OkStatus();
}

}  // namespace protopage
