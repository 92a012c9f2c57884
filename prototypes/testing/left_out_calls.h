// LeftOutCalls: whether crash scenarios notice that a call is missing which makes files durable.
//
// See durability_test.cc.
//
// Each trial lets the power fail soon after the call that was left out. It runs in a process of its
// own, as a program that reads what a missing call left may crash.
#ifndef PROTOPAGE_PROTOTYPES_TESTING_LEFT_OUT_CALLS_H_
#define PROTOPAGE_PROTOTYPES_TESTING_LEFT_OUT_CALLS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protopage/prototypes/testing/crash_scenario.h"

namespace protopage {

struct NamedCrashScenario {
  std::string name;
  MakeCrashScenario make;
  int64_t write_every = 0;
};

// A call, as LaxFileSystem names it.
struct LeftOutCall {
  std::string name;
  int64_t times = 0;  // In a run of each scenario, and in runs that recover.
};

struct LeftOutOptions {
  int64_t max_trials = 1200;  // For a call that is not found missing.
  int64_t recoveries = 6;     // Runs that recover, in which further calls may be made.
};

class LeftOutCalls {
 public:
  // Runs the scenarios, which must succeed.
  explicit LeftOutCalls(std::vector<NamedCrashScenario> scenarios,
                        const LeftOutOptions& options = {});
  ~LeftOutCalls();

  // All calls of the scenarios.
  std::vector<LeftOutCall> Find() const;
  // Leaves out all of `calls` at once: what was found, and by which scenario; ""
  // for nothing.
  std::string LeaveOut(const std::set<std::string>& calls) const;

  // Where calls are made: in the attempt after power failures.
  struct Place {
    std::vector<PowerFailure> before;
    std::map<std::string, int64_t> calls;
  };

 private:
  const std::vector<NamedCrashScenario> scenarios_;
  const LeftOutOptions options_;
  std::vector<std::vector<Place>> places_;  // Of each scenario.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TESTING_LEFT_OUT_CALLS_H_
