// Properties of stages that depend on their place in the config: the images that they read, their
// length, the names of their evaluations. (trainer/configs/config.h has StageSplit.)
//
//   const Split split = StageSplit(config, 0);
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto source, session->images().Open(split));
//   const int64_t steps = TotalSteps(config.stages[0], StepsPerEpoch(config.stages[0], *source));
//
// All functions take validated configs, and stages by their position in config.stages.
#ifndef PROTOPAGE_TRAINER_STAGES_STAGES_H_
#define PROTOPAGE_TRAINER_STAGES_STAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/data/image_source.h"
#include "protopage/data/open_source.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/configs/stage_specs.h"

namespace protopage {

// The name of the evaluation that the evaluate stage `stage` makes, and of its column: "source",
// "imprinted" or "dominant", by the last stage before it that made a classifier.
std::string EvaluationName(const TrainConfig& config, int64_t stage);

// The splits that the stage reads: its own, and `unseen` where it measures these classes, which
// stages do that evaluate prototypes, if the config has the split.
std::vector<Split> StageSplits(const TrainConfig& config, int64_t stage);
// Those of the stages from `first` on.
std::vector<Split> SplitsFrom(const TrainConfig& config, int64_t first);

// Steps of an epoch, each of batch_size images: whole batches only.
int64_t StepsPerEpoch(const StageConfig& stage, const ImageSource& source);
// Steps of a training stage, at most kMaxSteps.
int64_t TotalSteps(const StageConfig& stage, int64_t steps_per_epoch);

// At a million steps a second, 30 years. A thousand times as much is still an int64_t.
inline constexpr int64_t kMaxSteps = 1'000'000'000'000'000;
// InvalidArgument when the stage's epochs are more steps than that.
absl::Status CheckLength(const StageConfig& stage, int64_t steps_per_epoch);

// The learning rate of the prototype rows at a factor of the schedule.
double RowLearningRate(const StageConfig& stage, double factor);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGES_H_
