// Opens and checks all inputs of the stages of a run before the run begins: a mistake in the last
// stage shows before the first one has cost anything.
//
//   // The images stay open in the session.
//   PROTOPAGE_RETURN_IF_ERROR(OpenStages(*session, /*first=*/0));
//   PROTOPAGE_RETURN_IF_ERROR(CheckNewPrototypes(*session, /*first=*/0, /*there=*/false));
#ifndef PROTOPAGE_TRAINER_STAGES_OPEN_STAGES_H_
#define PROTOPAGE_TRAINER_STAGES_OPEN_STAGES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "protopage/trainer/session/session.h"

namespace protopage {

// Opens the images of the stages from `first` on and checks all that can be known before they
// run: numbers of images and classes against batches, selection, schedules, the cache of rows, the
// class index and each other; and each image file, see Session::CheckImages. Warns of splits that
// no stage reads.
// Errors: those of OpenSource; InvalidArgument that names stage and key.
absl::Status OpenStages(Session& session, int64_t first);

// Checks that the prototypes that the stages from `first` on make can start from
// prototypes.init_from, and that enough classes were not dropped there for the stages that train
// them. `there`: the run has prototypes before stage `first`. Errors: InvalidArgument, those of
// reading the store.
absl::Status CheckNewPrototypes(Session& session, int64_t first, bool there);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_OPEN_STAGES_H_
