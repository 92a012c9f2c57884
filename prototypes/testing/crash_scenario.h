// CrashScenario: work on a disk that loses power, and the promises that it makes on the way.
//
// A scenario notes what it has been told is durable, as a call returned OK, and looks for it after
// each failure. The same scenarios run with calls left out that make files durable, and must then
// find that something is missing: see durability_test.cc.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_CRASH_SCENARIO_H_
#define PROTOPAGE_PROTOTYPES_TESTING_CRASH_SCENARIO_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {

class CrashScenario {
 public:
  virtual ~CrashScenario() = default;
  // Makes what must be there before the work begins, such as the folder of a run, durably.
  virtual absl::Status SetUp(FileSystem*) { return absl::OkStatus(); }
  // Does the work, or the rest of it after a failure, to the end.
  virtual absl::Status Work(FileSystem* fs) = 0;
  // After a failure: whether all is there that was promised. Notes what the next Work begins with.
  virtual absl::Status Check(FileSystem* fs) = 0;
  // After the end: whether the outcome is that of work that nothing interrupts.
  virtual absl::Status CheckOutcome(FileSystem* fs) = 0;
};
using MakeCrashScenario = std::function<std::unique_ptr<CrashScenario>()>;

// The power fails at an event of CrashFileSystem, before that happens.
struct PowerFailure {
  int64_t event = 0;
  CrashFileSystem::Loss loss = CrashFileSystem::kDropAll;
  uint64_t seed = 0;
  // Events are counted from this call on that is left out, the first being 1; 0: from the
  // beginning.
  int64_t left_out = 0;
};

struct PowerFailureOptions {
  int64_t write_every = 0;         // As CrashFileSystem::CrashAt.
  std::set<std::string> left_out;  // Names of LaxFileSystem.
  // If set, the calls of the last attempt to work, how often each was made, and the events of it.
  std::map<std::string, int64_t>* calls = nullptr;
  int64_t* events = nullptr;
};

// Works, with a failure of the power in each of the first attempts, after the end of the work where
// it has fewer events; then works to the end. Errors: what the scenario found wrong, Internal when
// work failed with the power on.
absl::Status RunThroughPowerFailures(const MakeCrashScenario& make,
                                     const std::vector<PowerFailure>& failures,
                                     const PowerFailureOptions& options = {});

// Works, and the sync-th sync of a file fails, but the machine goes on. Work that reports the
// failure is begun again. Then the power fails and all is lost that was not synced. `came` says
// whether there were that many syncs.
absl::Status RunThroughFailedSync(const MakeCrashScenario& make, int64_t sync, bool* came,
                                  const PowerFailureOptions& options = {});

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_CRASH_SCENARIO_H_
