#include "protopage/sampling/selector_base.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

absl::StatusOr<ClassSelection> SelectorBase::Select(int64_t step,
                                                    absl::Span<const ClassId> positives) {
  std::vector<ClassId> sorted(positives.begin(), positives.end());
  std::sort(sorted.begin(), sorted.end());
  PROTOPAGE_RETURN_IF_ERROR(CheckPositives(sorted));
  ClassSelection selection;
  PROTOPAGE_ASSIGN_OR_RETURN(selection.classes, Choose(step, sorted));
  std::sort(selection.classes.begin(), selection.classes.end());
  selection.positive_slots.reserve(sorted.size());
  auto at = selection.classes.begin();
  for (const ClassId id : sorted) {
    at = std::lower_bound(at, selection.classes.end(), id);
    PROTOPAGE_CHECK(at != selection.classes.end() && *at == id);
    selection.positive_slots.push_back(static_cast<int32_t>(at - selection.classes.begin()));
  }
  return selection;
}

void SelectorBase::FillUp(RandomStream& random, std::vector<ClassId>& chosen) const {
  const int64_t missing = active_classes() - static_cast<int64_t>(chosen.size());
  const std::vector<ClassId> more = SampleMembers(random, classes(), missing, chosen);
  chosen.insert(chosen.end(), more.begin(), more.end());
}

absl::Status SelectorBase::CheckPositives(const std::vector<ClassId>& sorted) const {
  if (static_cast<int64_t>(sorted.size()) > active_classes()) {
    return absl::InvalidArgumentError(absl::StrCat(sorted.size(), " positive classes given for ",
                                                   "a step of ", active_classes(), " classes"));
  }
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (!classes().Contains(sorted[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("positive class ", sorted[i], " is not one of the ", classes().size(),
                       " classes of [0, ", classes().num_classes(), ") that may be drawn"));
    }
    if (i > 0 && sorted[i] == sorted[i - 1]) {
      return absl::InvalidArgumentError(
          absl::StrCat("positive class ", sorted[i], " was given twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
