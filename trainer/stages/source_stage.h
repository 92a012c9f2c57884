// The source stage: trains the net with a dense head over all classes of its split.
#ifndef PROTOPAGE_TRAINER_STAGES_SOURCE_STAGE_H_
#define PROTOPAGE_TRAINER_STAGES_SOURCE_STAGE_H_

#include "protopage/trainer/stages/stage_kind.h"

namespace protopage {

const StageKind& SourceStage();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_SOURCE_STAGE_H_
