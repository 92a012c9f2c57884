// DominantSource: the dominant queues as sampling sees them. The selector reads them, the planner
// feeds them the network's mistakes. A test, or another system, implements it over a plain map;
// sampling/class_queue_source.h over the paged queues of prototypes/.
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

  // The dominant queues of `classes`, one after the other, each from its head; a class may occur
  // more than once. A queue that was never built, or that is too old at `step`, is built first.
  virtual absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                         absl::Span<const ClassId> classes) = 0;

  // Sample i, of class y = classes[slots[i]], had its largest cosine without margin at slot
  // predicted[i]: the queue update rule of prototypes/class_queues.h, for the samples in order.
  // `slots` and `predicted` are [B], in [0, classes.size()).
  virtual absl::Status ApplyMistakes(absl::Span<const ClassId> classes,
                                     absl::Span<const int32_t> slots,
                                     absl::Span<const int32_t> predicted) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_
