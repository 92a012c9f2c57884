// The imprint stage: makes a prototype table and writes each class's prototype from its images
// (trainer/stages/imprint.h).
#ifndef PROTOPAGE_TRAINER_STAGES_IMPRINT_STAGE_H_
#define PROTOPAGE_TRAINER_STAGES_IMPRINT_STAGE_H_

#include "protopage/trainer/stages/stage_kind.h"

namespace protopage {

const StageKind& ImprintStage();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_IMPRINT_STAGE_H_
