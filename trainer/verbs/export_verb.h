// The verb export: writes the prototypes of a run to a file.
#ifndef PROTOPAGE_TRAINER_VERBS_EXPORT_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_EXPORT_VERB_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb ExportVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_EXPORT_VERB_H_
