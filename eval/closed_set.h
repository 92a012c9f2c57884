// Closed-set accuracy: features classified against all N prototypes by cosine.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       const ClosedSetResult result,
//       EvaluateClosedSet(features, labels, domains, prototypes, {}, pool));
//   const double top1 = result.all.Top1();
//
// Prototypes are read once, in blocks: memory does not grow with N.
#ifndef PROTOPAGE_EVAL_CLOSED_SET_H_
#define PROTOPAGE_EVAL_CLOSED_SET_H_

#include <cstdint>
#include <functional>
#include <map>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/eval/row_source.h"

namespace protopage {

struct ClosedSetOptions {
  // True for dropped classes: they are never an answer, and may not be a label. Empty: there are
  // none. Called from several threads.
  std::function<bool(ClassId)> is_dropped = {};
};

struct AccuracyCounts {
  int64_t samples = 0;
  int64_t top1 = 0;  // Samples whose class is the best answer: on ties, the lowest class id.
  int64_t top5 = 0;  // Samples whose class is among the five best.
  double Top1() const { return samples == 0 ? 0 : static_cast<double>(top1) / samples; }
  double Top5() const { return samples == 0 ? 0 : static_cast<double>(top5) / samples; }
};

struct ClosedSetResult {
  int64_t num_classes = 0;  // N, dropped classes included.
  AccuracyCounts all;
  std::map<int32_t, AccuracyCounts> by_domain;  // Empty when no domains were given.
};

// features [M, D], labels [M] in [0, N), domains [M] or empty, prototypes [N, D].
// Errors: InvalidArgument (no features, shapes, a label out of range or dropped, values that are
// not finite), those of `prototypes.read`.
absl::StatusOr<ClosedSetResult> EvaluateClosedSet(
    ConstRowMatrixRef features, absl::Span<const ClassId> labels, absl::Span<const int32_t> domains,
    const RowSource& prototypes, const ClosedSetOptions& options, ThreadPool& pool);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_CLOSED_SET_H_
