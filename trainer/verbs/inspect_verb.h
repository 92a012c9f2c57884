// The verb inspect: describes a prototype store.
#ifndef PROTOPAGE_TRAINER_VERBS_INSPECT_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_INSPECT_VERB_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb InspectVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_INSPECT_VERB_H_
