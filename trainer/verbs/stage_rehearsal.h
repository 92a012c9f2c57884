// Rehearsals: a few real steps of a training stage on computed images of the right size, with the
// stage's batch and active classes but a small table, in a folder that is removed.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       const RehearsedStage measured,
//       RehearseStage(config, /*stage=*/0, /*num_classes=*/1000000, /*active_classes=*/256));
//   const double seconds = measured.step_seconds;
#ifndef PROTOPAGE_TRAINER_VERBS_STAGE_REHEARSAL_H_
#define PROTOPAGE_TRAINER_VERBS_STAGE_REHEARSAL_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "protopage/data/image_source.h"
#include "protopage/trainer/configs/config.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// Sizes are in bytes.
struct RehearsedStage {
  double step_seconds = 0;       // With images and rows at hand.
  int64_t model_memory = 0;      // Allocated on the device.
  bool on_gpu = false;           // The device is a GPU.
  int64_t checkpoint_bytes = 0;  // Of the model file.
  int64_t class_bytes = 0;  // Of one class in the prototype table and the queues; 0 without them.
};

// `num_classes` and `active_classes` (K) are the real stage's. Errors: as those of training.
absl::StatusOr<RehearsedStage> RehearseStage(const TrainConfig& config, int64_t stage,
                                             int64_t num_classes, int64_t active_classes);

// Seconds to read and decode `batch` images of `source`, by the session's loader threads; measured
// on some of them.
absl::StatusOr<double> MeasureImages(const Session& session, const ImageSource& source,
                                     int64_t batch);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_STAGE_REHEARSAL_H_
