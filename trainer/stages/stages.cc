#include "protopage/trainer/stages/stages.h"

#include <algorithm>
#include <cmath>

#include "protopage/base/check.h"

namespace protopage {
namespace {

const StageSpec& SpecOf(const StageConfig& stage) {
  const StageSpec* spec = FindStageSpec(stage.name);
  PROTOPAGE_CHECK(spec != nullptr);
  return *spec;
}

// The images of evaluations of the classifier.
Split TestSplit(const StageSpec* classifier_maker) {
  const bool of_head =
      classifier_maker != nullptr && classifier_maker->makes == ClassifierKind::kHead;
  return of_head ? Split::kSourceTest : Split::kTargetTest;
}

}  // namespace

const StageSpec* ClassifierMaker(const TrainConfig& config, int64_t stage) {
  for (int64_t i = stage - 1; i >= 0; --i) {
    const StageSpec& spec = SpecOf(config.stages[i]);
    if (spec.makes.has_value()) return &spec;
  }
  return nullptr;
}

std::string EvaluationName(const TrainConfig& config, int64_t stage) {
  const StageSpec* maker = ClassifierMaker(config, stage);
  return maker != nullptr ? maker->evaluation_name : config.stages[stage].name;
}

Split StageSplit(const TrainConfig& config, int64_t stage) {
  const StageSpec& spec = SpecOf(config.stages[stage]);
  const Split own =
      spec.split.has_value() ? *spec.split : TestSplit(ClassifierMaker(config, stage));
  return ParseSplitOr(config.stages[stage].split, own).value();
}

std::vector<Split> SplitsFrom(const TrainConfig& config, int64_t first) {
  std::vector<Split> splits;
  for (int64_t i = first; i < static_cast<int64_t>(config.stages.size()); ++i) {
    splits.push_back(StageSplit(config, i));
    if (!SpecOf(config.stages[i]).split.has_value()) splits.push_back(Split::kUnseen);
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
  if (stage.steps > 0) return stage.steps;
  return std::max<int64_t>(1, std::llround(stage.epochs * static_cast<double>(steps_per_epoch)));
}

}  // namespace protopage
