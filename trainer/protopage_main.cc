// protopage: see `protopage --help`.
#include <string>
#include <vector>

#include "protopage/trainer/verbs/commands.h"
#include "protopage/trainer/verbs/run_main.h"

int main(int argc, char** argv) {
  return protopage::RunMain(argc, argv, [](const std::vector<std::string>& arguments) {
    return protopage::RunCommandLine(protopage::ProtopageProgram(), arguments);
  });
}
