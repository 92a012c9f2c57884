// DominantSource: the interface of sampling to the dominant queues. The selector reads them, and
// the planner passes them the mistakes of the network. sampling/class_queue_source.h implements it
// with the paged queues of prototypes/; a test or another system may use a plain map.
#ifndef PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_
#define PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"

namespace protopage {

// Calls come from one thread at a time, in the planner's order.
class DominantSource {
 public:
  virtual ~DominantSource() = default;

  // Returns the dominant queues of `classes`, one after another, each from its head; a class may
  // occur more than once. A queue that was never built, or is too old at `step`, is built first.
  virtual absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                         absl::Span<const ClassId> classes) = 0;

  // Applies the update rule of prototypes/class_queues.h to the samples in order. Sample i is of
  // class y = classes[slots[i]], and had its largest cosine without margin at slot predicted[i].
  // `slots` and `predicted` are [B], in [0, classes.size()).
  virtual absl::Status ApplyMistakes(absl::Span<const ClassId> classes,
                                     absl::Span<const int32_t> slots,
                                     absl::Span<const int32_t> predicted) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_
