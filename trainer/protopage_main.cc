// protopage: see `protopage --help`.
#include "protopage/trainer/verbs/commands.h"

int main(int argc, char** argv) {
  protopage::ProtopageCommands commands;
  return protopage::RunCommandLine(commands.Program(), {argv + 1, argv + argc});
}
