// The verb embed: writes the embeddings of images.
#ifndef PROTOPAGE_TRAINER_VERBS_EMBED_VERB_H_
#define PROTOPAGE_TRAINER_VERBS_EMBED_VERB_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandVerb EmbedVerb();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_EMBED_VERB_H_
