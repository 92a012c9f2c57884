#include "protopage/trainer/stages/stages.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"

namespace protopage {
namespace {

const StageSpec& SpecOf(const StageConfig& stage) {
  const StageSpec* spec = FindStageSpec(stage.name);
  PROTOPAGE_CHECK(spec != nullptr);
  return *spec;
}

}  // namespace

std::string EvaluationName(const TrainConfig& config, int64_t stage) {
  const StageSpec* maker = ClassifierMaker(config, stage);
  return maker != nullptr ? maker->evaluation_name : config.stages[stage].name;
}

std::vector<Split> StageSplits(const TrainConfig& config, int64_t stage) {
  std::vector<Split> splits = {StageSplit(config, stage)};
  const bool evaluates = !SpecOf(config.stages[stage]).split.has_value();
  const StageSpec* const maker = ClassifierMaker(config, stage);
  const bool of_prototypes = maker != nullptr && maker->makes == ClassifierKind::kPrototypes;
  if (evaluates && of_prototypes && HasSplit(config.data, Split::kUnseen)) {
    splits.push_back(Split::kUnseen);
  }
  return splits;
}

std::vector<Split> SplitsFrom(const TrainConfig& config, int64_t first) {
  std::vector<Split> splits;
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    for (const Split split : StageSplits(config, i)) splits.push_back(split);
  }
  return splits;
}

int64_t StepsPerEpoch(const StageConfig& stage, const ImageSource& source) {
  return std::max<int64_t>(1, source.size() / stage.batch_size);
}

double RowLearningRate(const StageConfig& stage, double factor) {
  return stage.rows.scheduled ? stage.rows.learning_rate * factor : stage.rows.learning_rate;
}

int64_t TotalSteps(const StageConfig& stage, int64_t steps_per_epoch) {
  if (stage.steps > 0) return std::min(stage.steps, kMaxSteps);
  const double steps = stage.epochs * static_cast<double>(steps_per_epoch);
  return std::llround(std::clamp(steps, 1.0, static_cast<double>(kMaxSteps)));
}

absl::Status CheckLength(const StageConfig& stage, int64_t steps_per_epoch) {
  const double steps = stage.epochs * static_cast<double>(steps_per_epoch);
  if (steps <= static_cast<double>(kMaxSteps)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("epochs: found ", stage.epochs, ", which is ",
                                                 steps, " steps of ", steps_per_epoch,
                                                 " an epoch, expected at most ", kMaxSteps));
}

}  // namespace protopage
