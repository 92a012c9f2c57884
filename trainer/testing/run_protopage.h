// RunProtopage({"eval", "--run=a"}) runs a verb of the `protopage` binary in a test's own process
// and returns its exit status and output.
#ifndef PROTOPAGE_TRAINER_TESTING_RUN_PROTOPAGE_H_
#define PROTOPAGE_TRAINER_TESTING_RUN_PROTOPAGE_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protopage/trainer/verbs/command_line.h"
#include "protopage/trainer/verbs/commands.h"

namespace protopage {

struct ProtopageOutcome {
  int exit_status = -1;
  std::string out, err;  // What it wrote to stdout and stderr.
};

inline ProtopageOutcome RunProtopage(const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  ProtopageOutcome outcome;
  outcome.exit_status = RunCommandLine(ProtopageProgram(), arguments);
  outcome.err = testing::internal::GetCapturedStderr();
  outcome.out = testing::internal::GetCapturedStdout();
  return outcome;
}

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_TESTING_RUN_PROTOPAGE_H_
