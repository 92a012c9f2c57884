// Identification: probes are searched in a gallery of one id image per class, and distractors.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       const IdentificationResult result,
//       EvaluateIdentification(gallery, gallery_labels, probes, probe_labels,
//                              /*distractors=*/{}, {.ranks = {1, 5}}, pool));
//   const double rank1 = result.Rate(1);  // The rank-1 identification rate.
#ifndef PROTOPAGE_EVAL_IDENTIFICATION_H_
#define PROTOPAGE_EVAL_IDENTIFICATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/eval/row_source.h"

namespace protopage {

struct IdentificationOptions {
  std::vector<int64_t> ranks = {1, 5};  // Each >= 1.
};

struct IdentificationResult {
  int64_t gallery = 0;  // Classes in the gallery.
  int64_t distractors = 0;
  int64_t probes = 0;               // Probes whose class is in the gallery; only these count.
  int64_t probes_without_mate = 0;  // The other probes.
  std::vector<int64_t> ranks;
  std::vector<int64_t> hits;  // hits[i]: probes whose class is among the ranks[i] nearest.
  // hits / probes of `rank`, which must be one of `ranks` (CHECKed).
  double Rate(int64_t rank) const;
};

// gallery [G, D] with distinct labels [G], probes [M, D] with labels [M], distractors [X, D] or
// empty (rows == 0). Ties go to the gallery before distractors, and to its earlier row.
// Errors: InvalidArgument (shapes, a label twice in the gallery, values that are not finite, no
// probe whose class is in the gallery), those of `distractors.read`.
absl::StatusOr<IdentificationResult> EvaluateIdentification(
    const RowMatrixXf& gallery, absl::Span<const ClassId> gallery_labels, ConstRowMatrixRef probes,
    absl::Span<const ClassId> probe_labels, const RowSource& distractors,
    const IdentificationOptions& options, ThreadPool& pool);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_IDENTIFICATION_H_
