#include "protopage/trainer/verbs/run_main.h"

#include "protopage/base/hdf5.h"
#include "protopage/base/logging.h"
#include "protopage/base/process.h"

namespace protopage {

int RunMain(int argc, char** argv,
            absl::FunctionRef<int(const std::vector<std::string>& arguments)> run) {
  PrepareProcess();
  // Tables, checkpoints and exports are opened by several threads.
  if (!Hdf5IsThreadSafe()) {
    LogError("the HDF5 library that this program was built with is not thread-safe");
    return 1;
  }
  return run({argv + 1, argv + argc});
}

}  // namespace protopage
