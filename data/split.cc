#include "protopage/data/split.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace protopage {
namespace {

constexpr struct {
  Split split;
  const char* name;
} kSplits[] = {
    {Split::kSourceTrain, "source_train"},
    {Split::kSourceValidation, "source_validation"},
    {Split::kSourceTest, "source_test"},
    {Split::kTargetTrain, "target_train"},
    {Split::kTargetValidation, "target_validation"},
    {Split::kTargetTest, "target_test"},
    {Split::kUnseen, "unseen"},
};

}  // namespace

const char* SplitName(Split split) {
  for (const auto& entry : kSplits) {
    if (entry.split == split) return entry.name;
  }
  return "?";
}

absl::StatusOr<Split> ParseSplit(absl::string_view name) {
  std::vector<std::string> names;
  for (const auto& entry : kSplits) {
    if (name == entry.name) return entry.split;
    names.push_back(entry.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("split \"", name, "\": allowed are ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<Split> ParseSplitOr(absl::string_view name, Split fallback) {
  if (name.empty()) return fallback;
  return ParseSplit(name);
}

bool IsSource(Split split) {
  return split == Split::kSourceTrain || split == Split::kSourceValidation ||
         split == Split::kSourceTest;
}

bool IsTraining(Split split) {
  return split == Split::kSourceTrain || split == Split::kTargetTrain;
}

bool IsValidation(Split split) {
  return split == Split::kSourceValidation || split == Split::kTargetValidation;
}

Split TrainingSplitOf(Split split) {
  if (split == Split::kUnseen) return split;
  return IsSource(split) ? Split::kSourceTrain : Split::kTargetTrain;
}

}  // namespace protopage
