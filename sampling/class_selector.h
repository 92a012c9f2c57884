// ClassSelector: from the positive classes of a step to all K classes that take part in it.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto selector,
//                    MakeClassSelector("dominant", {.seed = 1, .classes_per_step = 30,
//                                                   .classes = &classes, .dominants = &queues}));
//   PROTOPAGE_ASSIGN_OR_RETURN(ClassSelection selection, selector->Select(step, positives));
//   // selection.classes: 30 ascending class ids; slot k of the step's softmax is classes[k].
//
// Modes:
//   full      all classes; K is their number
//   random    the positives, and random classes up to K
//   dominant  the positives, and classes drawn from the union of their dominant queues (the two-level
//             sampling of "Large-scale Bisample Learning on ID vs. Spot Face Recognition", arXiv
//             1806.03018); random classes fill up when the union is short
//   mixed     the positives, a share of dominants as above, and random classes for the rest
//   nearest   as dominant, but from the exactly nearest classes of the newest rows in the place of
//             queues: costs a search over all rows a step, and shows what queues could reach
// A selection is a function of (seed, step, positives, queues) and costs O(K) and the queues read,
// not O(N) (but for full).
#ifndef PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_
#define PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_set.h"
#include "protopage/sampling/dominant_source.h"

namespace protopage {

struct ClassSelection {
  std::vector<ClassId> classes;         // [K], distinct, ascending
  std::vector<int32_t> positive_slots;  // The positions in `classes` of the positives, ascending.
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
  int64_t classes_per_step = 0;         // K; not used by full
  const ClassSet* classes = nullptr;    // Who may take part. Not owned.
  double dominant_share = 1;            // Of the K minus positives; mode mixed only.
  DominantSource* dominants = nullptr;  // Modes dominant, mixed and nearest only. Not owned.
};

// Errors: InvalidArgument (unknown mode: the known ones are listed; K larger than the
// number of classes; mode dominant without a source).
absl::StatusOr<std::unique_ptr<ClassSelector>> MakeClassSelector(
    absl::string_view mode, const ClassSelectorOptions& options);

// The modes that MakeClassSelector knows.
std::vector<std::string> ClassSelectorModes();

// What a mode's DominantSource has to be.
enum class DominantKind {
  kNone,     // None is asked.
  kQueues,   // Dominant queues.
  kNearest,  // The exactly nearest classes.
};
// kNone for a mode that is not known.
DominantKind DominantKindOf(absl::string_view mode);

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_CLASS_SELECTOR_H_
