// The modes of class selection, by name.
//
//   ClassSelectorOptions options;
//   options.seed = 1;
//   options.classes_per_step = 30;
//   options.classes = &classes;
//   options.dominants = &queues;
//   PROTOPAGE_ASSIGN_OR_RETURN(auto selector, MakeClassSelector("dominant", options));
//
// Code that depends on the mode asks its entry, FindSelectionMode(name), and does not compare
// names.
#ifndef PROTOPAGE_SAMPLING_SELECTION_MODES_H_
#define PROTOPAGE_SAMPLING_SELECTION_MODES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/sampling/class_selector.h"
#include "protopage/sampling/selection_mode.h"

namespace protopage {

// All modes, in the order of --help.
const std::vector<SelectionMode>& SelectionModes();

// Null for a name that is not known.
const SelectionMode* FindSelectionMode(absl::string_view name);

std::vector<std::string> SelectionModeNames();

// What DominantSource the mode needs; kNone for a name that is not known.
DominantKind DominantKindOf(absl::string_view name);

// Whether the mode takes all classes at every step; false for a name that is not known.
bool TakesAllClasses(absl::string_view name);

// Errors: InvalidArgument (unknown mode: the known ones are listed; classes_per_step outside of
// [1, number of classes]; no source of dominant classes for a mode that needs one).
absl::StatusOr<std::unique_ptr<ClassSelector>> MakeClassSelector(
    absl::string_view name, const ClassSelectorOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_SELECTION_MODES_H_
