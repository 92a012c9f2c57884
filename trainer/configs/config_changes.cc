#include "protopage/trainer/configs/config_changes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/data/split.h"
#include "protopage/trainer/configs/stage_specs.h"

namespace protopage {
namespace {

const StageSpec& SpecOf(const StageConfig& stage) {
  const StageSpec* const spec = FindStageSpec(stage.name);
  PROTOPAGE_CHECK(spec != nullptr);
  return *spec;
}

bool Evaluates(const StageSpec& spec) { return !spec.split.has_value(); }

// Whether stage `i` reads images of the split, or takes the numbers of classes from it.
bool ReadsSplit(const TrainConfig& config, int64_t i, Split split) {
  const Split own = StageSplit(config, i);
  if (own == split || TrainingSplitOf(own) == split) return true;
  return split == Split::kUnseen && Evaluates(SpecOf(config.stages[i]));
}

// Whether stage `i` uses the key, by the table of the header.
bool UsesKey(const TrainConfig& config, int64_t i, absl::string_view key) {
  const StageSpec& spec = SpecOf(config.stages[i]);
  if (absl::ConsumePrefix(&key, "stages[")) {
    int64_t index = -1;
    PROTOPAGE_CHECK(absl::SimpleAtoi(key.substr(0, key.find(']')), &index));
    return index == i;
  }
  if (absl::StartsWith(key, "selection.") || absl::StartsWith(key, "prototypes.index") ||
      key == "prototypes.reencode_below") {
    return spec.trains_prototypes();
  }
  if (absl::StartsWith(key, "prototypes.")) return spec.makes == ClassifierKind::kPrototypes;
  if (absl::StartsWith(key, "loss.") || absl::StartsWith(key, "data.augment.")) return spec.trains;
  if (absl::ConsumePrefix(&key, "data.paths.")) {
    const absl::StatusOr<Split> split = ParseSplit(key);
    return !split.ok() || ReadsSplit(config, i, *split);
  }
  return true;
}

}  // namespace

absl::StatusOr<std::vector<FieldDifference>> CheckConfigChanges(const TrainConfig& before,
                                                                const TrainConfig& after,
                                                                int64_t begun) {
  if (static_cast<int64_t>(after.stages.size()) < begun) {
    return absl::InvalidArgumentError(absl::StrCat("stages: found ", after.stages.size(),
                                                   ", expected at least the ", begun,
                                                   " that have begun"));
  }
  TrainConfig old_config = before, new_config = after;
  std::vector<FieldDifference> changes =
      UnsafeDifferences([&](ConfigVisitor& v) { old_config.Fields(v); },
                        [&](ConfigVisitor& v) { new_config.Fields(v); });
  std::vector<std::string> used;
  for (const FieldDifference& change : changes) {
    bool is_used = false;
    for (int64_t i = 0; i < begun; ++i) is_used = is_used || UsesKey(before, i, change.name);
    if (is_used) used.push_back(change.name);
  }
  if (used.empty()) return changes;
  return absl::InvalidArgumentError(
      absl::StrCat(absl::StrJoin(used, ", "),
                   "; only threads, logging, checkpoints and what no stage has used may change"));
}

std::string FormatChanges(const std::vector<FieldDifference>& changes) {
  return absl::StrJoin(changes, ", ", [](std::string* out, const FieldDifference& change) {
    absl::StrAppend(out, change.name, " ", change.before.empty() ? "(none)" : change.before, " -> ",
                    change.after.empty() ? "(none)" : change.after);
  });
}

}  // namespace protopage
