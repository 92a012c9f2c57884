#include "protopage/eval/identification.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/top_k.h"

namespace protopage {
namespace {

// The rows of `first`, then those of `second`.
RowSource Concatenated(const RowSource& first, const RowSource& second) {
  return {.rows = first.rows + second.rows,
          .dim = first.dim,
          .read = [&first, &second](int64_t row, RowMatrixRef out) -> absl::Status {
            const int64_t from_first = std::clamp<int64_t>(first.rows - row, 0, out.rows());
            if (from_first > 0) PROTOPAGE_RETURN_IF_ERROR(first.read(row, out.topRows(from_first)));
            const int64_t from_second = out.rows() - from_first;
            if (from_second == 0) return absl::OkStatus();
            return second.read(row + from_first - first.rows, out.bottomRows(from_second));
          }};
}

}  // namespace

double IdentificationResult::Rate(int64_t rank) const {
  const auto at = std::find(ranks.begin(), ranks.end(), rank);
  PROTOPAGE_CHECK(at != ranks.end() && probes > 0);
  return static_cast<double>(hits[at - ranks.begin()]) / static_cast<double>(probes);
}

absl::StatusOr<IdentificationResult> EvaluateIdentification(
    const RowMatrixXf& gallery, absl::Span<const ClassId> gallery_labels, ConstRowMatrixRef probes,
    absl::Span<const ClassId> probe_labels, const RowSource& distractors,
    const IdentificationOptions& options, ThreadPool& pool) {
  if (static_cast<int64_t>(gallery_labels.size()) != gallery.rows() ||
      static_cast<int64_t>(probe_labels.size()) != probes.rows()) {
    return absl::InvalidArgumentError(
        absl::StrCat("identification got ", gallery_labels.size(), " labels for ", gallery.rows(),
                     " gallery rows and ", probe_labels.size(), " for ", probes.rows(), " probes"));
  }
  if (distractors.rows > 0 && distractors.dim != gallery.cols()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "distractors have ", distractors.dim, " columns, but the gallery has ", gallery.cols()));
  }
  if (options.ranks.empty() || *std::min_element(options.ranks.begin(), options.ranks.end()) < 1) {
    return absl::InvalidArgumentError("identification needs ranks, each at least 1");
  }
  absl::flat_hash_map<ClassId, int64_t> row_of;
  for (size_t i = 0; i < gallery_labels.size(); ++i) {
    if (!row_of.emplace(gallery_labels[i], i).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("class ", gallery_labels[i], " is twice in the gallery"));
    }
  }

  IdentificationResult result;
  result.gallery = gallery.rows();
  result.distractors = distractors.rows;
  result.ranks = options.ranks;
  result.hits.assign(options.ranks.size(), 0);
  const RowSource gallery_rows = MatrixRows(gallery);
  const int64_t k = *std::max_element(options.ranks.begin(), options.ranks.end());
  PROTOPAGE_ASSIGN_OR_RETURN(
      const TopK top, FindTopK(probes, Concatenated(gallery_rows, distractors), {.k = k}, pool));
  for (int64_t i = 0; i < probes.rows(); ++i) {
    const auto mate = row_of.find(probe_labels[i]);
    if (mate == row_of.end()) {
      ++result.probes_without_mate;
      continue;
    }
    ++result.probes;
    for (size_t r = 0; r < result.ranks.size(); ++r) {
      result.hits[r] += (top.rows.row(i).head(result.ranks[r]).array() == mate->second).any();
    }
  }
  if (result.probes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("identification got ", probes.rows(),
                     " probes, none with its class in the gallery of ", gallery.rows()));
  }
  return result;
}

}  // namespace protopage
