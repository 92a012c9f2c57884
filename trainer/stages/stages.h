// What the stages of a run read, opened and checked before the run begins: a mistake in the last
// stage shows before the first one has cost anything.
//
//   PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, /*first=*/0));  // The images stay open in the session.
//   ... run stage 0 ...
//   session->images().KeepOnly(SplitsFrom(config, 1));
#ifndef PROTOPAGE_TRAINER_STAGES_STAGES_H_
#define PROTOPAGE_TRAINER_STAGES_STAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/data/image_source.h"
#include "protopage/data/open_source.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// All below take validated configs, and stages by their position in config.stages.

// What the evaluate stage `stage` measures: "source", "imprinted" or "dominant", as the last
// stage before it that is no evaluation left it. The name of its column.
std::string EvaluationName(const TrainConfig& config, int64_t stage);

// The split whose images the stage trains, imprints or evaluates on.
Split StageSplit(const TrainConfig& config, int64_t stage);
// The splits that the stages from `first` on read, those of unseen classes among them.
std::vector<Split> SplitsFrom(const TrainConfig& config, int64_t first);

// Steps of an epoch, each of batch_size images: whole batches only.
int64_t StepsPerEpoch(const StageConfig& stage, const ImageSource& source);
// Steps of a training stage.
int64_t TotalSteps(const StageConfig& stage, int64_t steps_per_epoch);

// Of the prototype rows, where the schedule has the given factor.
double RowLearningRate(const StageConfig& stage, double factor);

// Opens the images of the stages from `first` on and checks all that can be known before they
// run: numbers of images and classes against batches, selection, schedules and each other.
// Errors: those of OpenSource; InvalidArgument that names stage and key.
absl::Status OpenStages(Session& session, int64_t first);

// The prototypes that the stages from `first` on make, being there before them or not, can start
// from prototypes.init_from, and dominant stages have enough classes without those that were
// dropped. Errors: InvalidArgument, those of reading the store.
absl::Status CheckNewPrototypes(Session& session, int64_t first, bool there);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_STAGES_H_
