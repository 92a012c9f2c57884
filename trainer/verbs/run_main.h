// RunMain: the main function of our programs.
//
//   int main(int argc, char** argv) {
//     return RunMain(argc, argv, [](const std::vector<std::string>& arguments) {
//       return RunCommandLine(ProtopageProgram(), arguments);
//     });
//   }
#ifndef PROTOPAGE_TRAINER_VERBS_RUN_MAIN_H_
#define PROTOPAGE_TRAINER_VERBS_RUN_MAIN_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

namespace protopage {

// Prepares the process, checks the libraries, calls `run` with the arguments that follow the
// program's name, and returns its exit status.
int RunMain(int argc, char** argv,
            absl::FunctionRef<int(const std::vector<std::string>& arguments)> run);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_RUN_MAIN_H_
