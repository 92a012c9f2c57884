// DominantSource: the dominant queues as sampling sees them. The selector reads
// them, the planner feeds them the network's mistakes. A test, or another system, implements it
// over a plain map; sampling/class_queue_source.h over the paged queues of prototypes/.
#ifndef PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_
#define PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/types.h"

namespace protopage {

// Sample i of a step was of class labels[i] and was taken for class predicted[i]. The same length.
struct StepMistakes {
  absl::Span<const ClassId> labels;
  absl::Span<const ClassId> predicted;
};

// Calls come from one thread at a time, in the planner's order.
class DominantSource {
 public:
  virtual ~DominantSource() = default;

  // The dominant queues of `classes`, one after the other, each from its head; a class may
  // occur more than once. A queue that was never built, or that is too old at `step`, is built
  // first.
  virtual absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                         absl::Span<const ClassId> classes) = 0;

  // The queue update rule, for the samples in order; right answers (labels[i] == predicted[i])
  // change nothing.
  virtual absl::Status ApplyMistakes(int64_t step, const StepMistakes& mistakes) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_DOMINANT_SOURCE_H_
