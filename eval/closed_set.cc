#include "protopage/eval/closed_set.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/eval/top_k.h"

namespace protopage {

absl::StatusOr<ClosedSetResult> EvaluateClosedSet(
    ConstRowMatrixRef features, absl::Span<const ClassId> labels, absl::Span<const int32_t> domains,
    const RowSource& prototypes, const ClosedSetOptions& options, ThreadPool& pool) {
  const int64_t num_samples = features.rows();
  if (num_samples == 0) {
    return absl::InvalidArgumentError("closed-set evaluation got no features");
  }
  if (static_cast<int64_t>(labels.size()) != num_samples) {
    return absl::InvalidArgumentError(absl::StrCat("closed-set evaluation got ", labels.size(),
                                                   " labels for ", num_samples, " features"));
  }
  if (!domains.empty() && static_cast<int64_t>(domains.size()) != num_samples) {
    return absl::InvalidArgumentError(absl::StrCat("closed-set evaluation got ", domains.size(),
                                                   " domains for ", num_samples, " features"));
  }
  for (int64_t i = 0; i < num_samples; ++i) {
    if (labels[i] < 0 || labels[i] >= prototypes.rows) {
      return absl::InvalidArgumentError(absl::StrCat("label ", labels[i], " of feature ", i,
                                                     " is outside [0, ", prototypes.rows, ")"));
    }
    if (options.is_dropped != nullptr && options.is_dropped(labels[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("label ", labels[i], " of feature ", i, " is a dropped class"));
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(
      const TopK top,
      FindTopK(features, prototypes, {.k = 5, .excluded = options.is_dropped}, pool));

  ClosedSetResult result;
  result.num_classes = prototypes.rows;
  const auto count = [&](AccuracyCounts& counts, int64_t i) {
    const auto answers = top.rows.row(i);
    ++counts.samples;
    counts.top1 += answers(0) == labels[i];
    counts.top5 += (answers.array() == labels[i]).any();
  };
  for (int64_t i = 0; i < num_samples; ++i) {
    count(result.all, i);
    if (!domains.empty()) count(result.by_domain[domains[i]], i);
  }
  return result;
}

}  // namespace protopage
