// The evaluate stage: measures the newest classifier on images never trained on
// (trainer/stages/evaluator.h).
#ifndef PROTOPAGE_TRAINER_STAGES_EVALUATE_STAGE_H_
#define PROTOPAGE_TRAINER_STAGES_EVALUATE_STAGE_H_

#include "protopage/trainer/stages/stage_kind.h"

namespace protopage {

const StageKind& EvaluateStage();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STAGES_EVALUATE_STAGE_H_
