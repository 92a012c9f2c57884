#include "protopage/sampling/selection_modes.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/check.h"
#include "protopage/base/named_entries.h"
#include "protopage/sampling/dominant_selector.h"
#include "protopage/sampling/full_selector.h"
#include "protopage/sampling/random_selector.h"

namespace protopage {

const std::vector<SelectionMode>& SelectionModes() {
  static const auto* const kModes = new std::vector<SelectionMode>{
      FullMode(), RandomMode(), DominantMode(), MixedMode(), NearestMode(),
  };
  return *kModes;
}

const SelectionMode* FindSelectionMode(absl::string_view name) {
  return FindNamed(SelectionModes(), name);
}

std::vector<std::string> SelectionModeNames() { return NamesOf(SelectionModes()); }

DominantKind DominantKindOf(absl::string_view name) {
  const SelectionMode* const mode = FindSelectionMode(name);
  return mode == nullptr ? DominantKind::kNone : mode->dominants;
}

bool TakesAllClasses(absl::string_view name) {
  const SelectionMode* const mode = FindSelectionMode(name);
  return mode != nullptr && mode->all_classes;
}

absl::StatusOr<std::unique_ptr<ClassSelector>> MakeClassSelector(
    absl::string_view name, const ClassSelectorOptions& options) {
  PROTOPAGE_CHECK(options.classes != nullptr);
  const SelectionMode* const mode = FindSelectionMode(name);
  if (mode == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("selection mode \"", name, "\" is unknown; the ",
                                                   "known ones are ",
                                                   absl::StrJoin(SelectionModeNames(), ", ")));
  }
  if (!mode->all_classes &&
      (options.classes_per_step < 1 || options.classes_per_step > options.classes->size())) {
    return absl::InvalidArgumentError(absl::StrCat("classes_per_step is ", options.classes_per_step,
                                                   "; it must be in [1, ", options.classes->size(),
                                                   "], the classes that may be drawn"));
  }
  if (mode->dominants != DominantKind::kNone && options.dominants == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("selection mode \"", name, "\" needs a source of dominant classes"));
  }
  return mode->make(options);
}

}  // namespace protopage
