// Flags that several verbs have.
//
//   std::string run;
//   bool json = false;
//   CommandVerb verb;
//   verb.flags = {RunFlag(&run), JsonFlag(&json)};
#ifndef PROTOPAGE_TRAINER_VERBS_VERB_FLAGS_H_
#define PROTOPAGE_TRAINER_VERBS_VERB_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

// --set: changes of a config.
CommandFlag SetFlag(std::vector<std::string>* set);
// --config, required.
CommandFlag ConfigFlag(std::string* config);
// --run, required: the directory of a run.
CommandFlag RunFlag(std::string* run);
// --checkpoint: the number of a checkpoint; `checkpoint` is -1 for the newest.
CommandFlag CheckpointFlag(int64_t* checkpoint);
// --class_names: what happens when the classes of images are not those that the run knows.
CommandFlag ClassNamesFlag(std::string* policy);
// --json: prints results as JSON.
CommandFlag JsonFlag(bool* json);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_VERB_FLAGS_H_
