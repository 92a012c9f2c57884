// The verb eval: evaluates the model of a run.
#ifndef PROTOPAGE_TRAINER_VERBS_EVAL_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_EVAL_VERB_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb EvalVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_EVAL_VERB_H_
