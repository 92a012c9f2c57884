// The verb plan: the memory, the disk and the time of a step that a config needs.
#ifndef PROTOPAGE_TRAINER_VERBS_PLAN_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_PLAN_VERB_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb PlanVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_PLAN_VERB_H_
