#include "protopage/prototypes/index/index_common.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::Status CheckSearch(ConstRowMatrixRef queries, int64_t k, absl::Span<const ClassId> exclude,
                         int64_t dim) {
  const int64_t n = queries.rows();
  if (k < 1) return absl::InvalidArgumentError(absl::StrCat("k is ", k, ", at least 1"));
  if (n > 0 && queries.cols() != dim) {
    return absl::InvalidArgumentError(
        absl::StrCat("queries of dim ", queries.cols(), ", the index has dim ", dim));
  }
  if (!exclude.empty() && static_cast<int64_t>(exclude.size()) != n) {
    return absl::InvalidArgumentError(
        absl::StrCat(exclude.size(), " classes to exclude for ", n, " queries"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> CheckUpdate(absl::Span<const ClassId> ids,
                                                 ConstRowMatrixRef rows, int64_t num_classes,
                                                 int64_t dim) {
  const int64_t n = static_cast<int64_t>(ids.size());
  if (rows.rows() != n || (n > 0 && rows.cols() != dim)) {
    return absl::InvalidArgumentError(absl::StrCat("rows are [", rows.rows(), ", ", rows.cols(),
                                                   "], expected [", n, ", ", dim, "]"));
  }
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return ids[a] < ids[b]; });
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] < 0 || ids[i] >= num_classes) {
      return absl::OutOfRangeError(
          absl::StrCat("id ", ids[i], " at position ", i, " is outside [0, ", num_classes, ")"));
    }
    if (i > 0 && ids[order[i]] == ids[order[i - 1]]) {
      return absl::InvalidArgumentError(
          absl::StrCat("id ", ids[order[i]], " is given twice; ids must be distinct"));
    }
    if (!rows.row(i).allFinite()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the row of id ", ids[i], " has values that are not finite"));
    }
  }
  return order;
}

absl::StatusOr<IndexShape> ReadIndexShape(const std::string& path, const Hdf5Layout& layout) {
  IndexShape shape;
  for (const auto& [name, value] :
       {std::make_pair("num_classes", &shape.num_classes), std::make_pair("dim", &shape.dim)}) {
    const auto found = layout.integers.find(name);
    if (found == layout.integers.end()) {
      return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is missing"));
    }
    if (found->second < 1) {
      return absl::DataLossError(absl::StrCat(path, ": attribute '", name, "' is ", found->second,
                                              ", expected 1 or more"));
    }
    *value = found->second;
  }
  return shape;
}

absl::Status ReadRuns(absl::Span<const ClassId> ids, RowBlockReader reader, RowMatrixRef rows) {
  constexpr size_t kMaxRun = 4096;  // 8 MiB at D = 512.
  for (size_t begin = 0; begin < ids.size();) {
    size_t end = begin + 1;
    while (end < ids.size() && ids[end] == ids[end - 1] + 1 && end - begin < kMaxRun) ++end;
    PROTOPAGE_RETURN_IF_ERROR(reader(ids[begin], rows.middleRows(begin, end - begin)));
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace protopage
