// protopage: see `protopage --help`.
#include "protopage/trainer/verbs/commands.h"

int main(int argc, char** argv) {
  return protopage::RunCommandLine(protopage::ProtopageProgram(), {argv + 1, argv + argc});
}
