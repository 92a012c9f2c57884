// The dominant stage: trains the net and the paged prototypes of the classes that the step planner
// picks.
#ifndef PROTOPAGE_TRAINER_STAGES_DOMINANT_STAGE_H_
#define PROTOPAGE_TRAINER_STAGES_DOMINANT_STAGE_H_

#include "protopage/trainer/stages/stage_kind.h"

namespace protopage {

const StageKind& DominantStage();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_DOMINANT_STAGE_H_
