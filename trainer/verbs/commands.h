// The `protopage` binary: its verbs and their order in --help.
//
//   return RunCommandLine(ProtopageProgram(), {argv + 1, argv + argc});
#ifndef PROTOPAGE_TRAINER_VERBS_COMMANDS_H_
#define PROTOPAGE_TRAINER_VERBS_COMMANDS_H_

#include "protopage/trainer/verbs/command_line.h"

namespace protopage {

CommandProgram ProtopageProgram();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_COMMANDS_H_
