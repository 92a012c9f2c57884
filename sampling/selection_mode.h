// SelectionMode: the entry of a mode of class selection. It says all that the rest of the program
// asks of a mode: its name and help, what it needs, what it checks, and its selector.
//
//   SelectionMode LowestMode() {
//     SelectionMode mode;
//     mode.name = "lowest";
//     mode.help = "the positive classes, and those of the lowest ids";
//     mode.make = &MakeSelector<LowestSelector>;
//     return mode;
//   }
//
// selection_modes.cc lists the entries.
#ifndef PROTOPAGE_SAMPLING_SELECTION_MODE_H_
#define PROTOPAGE_SAMPLING_SELECTION_MODE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "protopage/sampling/class_selector.h"

namespace protopage {

// What a mode's DominantSource has to be.
enum class DominantKind {
  kNone,     // The mode asks for no dominant classes.
  kQueues,   // Dominant queues (ClassQueueSource).
  kNearest,  // The exactly nearest classes (NearestClassSource).
};

// The keys of the "selection" object of a config that a mode may check.
struct SelectionKeys {
  int64_t classes_per_step = 0;
  int64_t positive_classes = 0;
  int64_t dominant_queue = 0;
  int64_t candidate_queue = 0;
  double dominant_share = 0;
};

struct SelectionMode {
  const char* name = nullptr;
  const char* help = nullptr;  // The classes of a step: a noun phrase without a full stop.

  // What the mode needs.
  bool all_classes = false;  // K is the number of classes; classes_per_step is not used.
  DominantKind dominants = DominantKind::kNone;
  bool uses_dominant_share = false;

  // Checks the keys that only this mode reads; null: there is nothing to check.
  // Errors: InvalidArgument that names the keys, the values and what is allowed.
  absl::Status (*validate)(const SelectionKeys& keys) = nullptr;

  // The options fit the needs above: `classes` is set, K is in [1, classes->size()] (but with
  // all_classes), and `dominants` is set where the mode needs it.
  std::unique_ptr<ClassSelector> (*make)(const ClassSelectorOptions& options) = nullptr;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_SELECTION_MODE_H_
