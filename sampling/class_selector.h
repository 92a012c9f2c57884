// ClassSelector: from the positive classes of a step to all K classes that take part in it.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const ClassSelection selection, selector->Select(step, positives));
//   const ClassId id = selection.classes[k];  // Of slot k of the step's softmax; ids ascend.
//
// selection_modes.h makes one by the name of its mode. A selection is a function of (seed, step,
// positives, dominant classes). It costs O(K) and the reads of dominant classes, not O(N), except
// where all classes take part.
#ifndef PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_
#define PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"

namespace protopage {

struct ClassSelection {
  std::vector<ClassId> classes;         // [K], distinct, ascending.
  std::vector<int32_t> positive_slots;  // The positions of the positives in `classes`, ascending.
};

// Not thread-safe.
class ClassSelector {
 public:
  virtual ~ClassSelector() = default;
  // `positives`: distinct members of the selector's classes, in any order; no more than K.
  // Errors: InvalidArgument (they are not), and those of the DominantSource.
  virtual absl::StatusOr<ClassSelection> Select(int64_t step,
                                                absl::Span<const ClassId> positives) = 0;
};

struct ClassSelectorOptions {
  uint64_t seed = 0;
  int64_t classes_per_step = 0;         // K; unused by modes that take all classes.
  const ClassSet* classes = nullptr;    // The classes that may take part. Not owned.
  double dominant_share = 1;            // Of the K minus positives; mode mixed only.
  DominantSource* dominants = nullptr;  // Of the kind that the mode needs, if any. Not owned.
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_
