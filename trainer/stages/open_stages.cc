#include "protopage/trainer/stages/open_stages.h"

#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/open_source.h"
#include "protopage/data/source_types.h"
#include "protopage/data/split.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/stages/stage_kinds.h"
#include "protopage/trainer/stages/stages.h"

namespace protopage {
namespace {

// Of a stage in errors.
std::string Where(const TrainConfig& config, int64_t stage) {
  return absl::StrCat("stages[", stage, "] (", config.stages[stage].name, ")");
}

absl::Status OpenStage(Session& session, int64_t index, ClassifierSizes* sizes) {
  const TrainConfig& config = session.config();
  const StageConfig& stage = config.stages[index];
  const Split split = StageSplit(config, index);
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(split));
  if (source->size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("split ", SplitName(split), " holds no image: ", source->Description()));
  }
  const StageKind& kind = GetStageKind(stage.name);
  PROTOPAGE_RETURN_IF_ERROR(kind.Check(session, index, *source, sizes));
  if (!kind.spec().trains) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(CheckLength(stage, StepsPerEpoch(stage, *source)));
  return Schedule::Create(stage.schedule, TotalSteps(stage, StepsPerEpoch(stage, *source)))
      .status();
}

// Warns of splits that the user gave a path and that no stage reads.
void WarnOfUnreadSplits(Session& session) {
  const TrainConfig& config = session.config();
  const absl::StatusOr<const SourceType*> type = FindSourceType(config.data.type);
  if (!type.ok() || !(*type)->reads_paths) return;
  std::set<Split> read;
  for (const Split split : SplitsFrom(config, 0)) {
    read.insert(split);
    read.insert(TrainingSplitOf(split));  // It numbers the classes.
  }
  for (const Split split : {Split::kSourceTrain, Split::kSourceTest, Split::kTargetTrain,
                            Split::kTargetTest, Split::kUnseen}) {
    if (read.count(split) > 0 || config.data.paths.Of(split).empty()) continue;
    session.Warn(absl::StrCat(
        "data.paths.", SplitName(split), " is set, but no stage reads it",
        split == Split::kUnseen
            ? ": unseen classes are measured by a stage evaluate after imprint or dominant"
            : ""));
  }
}

}  // namespace

absl::Status OpenStages(Session& session, int64_t first) {
  const TrainConfig& config = session.config();
  ClassifierSizes sizes;
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    PROTOPAGE_RETURN_IF_ERROR(WithContext(OpenStage(session, i, &sizes), Where(config, i)));
  }
  WarnOfUnreadSplits(session);
  // Last, as it may take long.
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    for (const Split split : StageSplits(config, i)) {
      PROTOPAGE_RETURN_IF_ERROR(WithContext(session.CheckImages(split), Where(config, i)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNewPrototypes(Session& session, int64_t first, bool there) {
  const TrainConfig& config = session.config();
  const PrototypeSetOptions options = session.prototype_options();
  if (config.prototypes.init_from.empty()) return absl::OkStatus();
  std::unique_ptr<PrototypeStore> store;  // The newest prototypes start as a copy of it.
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    const StageConfig& stage = config.stages[i];
    const StageKind& kind = GetStageKind(stage.name);
    const bool makes = kind.spec().makes == ClassifierKind::kPrototypes;
    const StageSpec* const maker = ClassifierMaker(config, i);
    const bool evaluates = kind.spec().needs_classifier && maker != nullptr &&
                           maker->makes == ClassifierKind::kPrototypes;
    if (!makes && !evaluates) continue;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session.images().Open(StageSplit(config, i)));
    if (makes && (kind.spec().replaces_prototypes || !there)) {
      PROTOPAGE_ASSIGN_OR_RETURN(
          store, PrototypeSet::OpenInitFrom(source->num_classes(), session.net()->embedding_dim(),
                                            options));
    }
    there = true;
    if (store != nullptr && store->num_dropped() > 0) {
      PROTOPAGE_RETURN_IF_ERROR(
          WithContext(kind.CheckDropped(config, stage, *source, *store), Where(config, i)));
    }
  }
  return absl::OkStatus();
}

}  // namespace protopage
