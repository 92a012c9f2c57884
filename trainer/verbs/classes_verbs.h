// The verbs classes add, classes drop and classes merge: they change a prototype store.
#ifndef PROTOPAGE_TRAINER_VERBS_CLASSES_VERBS_H_
#define PROTOPAGE_TRAINER_VERBS_CLASSES_VERBS_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb AddClassesVerb();
CommandVerb DropClassesVerb();
CommandVerb MergeClassesVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_CLASSES_VERBS_H_
