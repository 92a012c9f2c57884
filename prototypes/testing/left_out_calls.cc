#include "protopage/prototypes/testing/left_out_calls.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"

namespace protopage {
namespace {

// More events than any scenario has: the power fails after the end.
constexpr int64_t kAfterTheEnd = 1000000;

// The result of `function`, called in a child process. If that dies, how.
std::string InChild(const std::function<std::string()>& function) {
  int ends[2];
  PROTOPAGE_CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  PROTOPAGE_CHECK(child >= 0);
  if (child == 0) {
    close(ends[0]);
    const std::string text = function();
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = write(ends[1], text.data() + done, text.size() - done);
      if (count <= 0) _exit(1);
      done += static_cast<size_t>(count);
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return absl::StrCat("the program dies of signal ", WTERMSIG(status));
  return text;
}

using Place = LeftOutCalls::Place;

std::vector<Place> Places(const NamedCrashScenario& scenario, const LeftOutOptions& options) {
  PowerFailureOptions run;
  run.write_every = scenario.write_every;
  std::vector<Place> places(1);
  int64_t events = 0;
  run.events = &events;
  run.calls = &places[0].calls;
  PROTOPAGE_CHECK(RunThroughPowerFailures(scenario.make, {}, run).ok());
  run.events = nullptr;
  for (int64_t i = 0; i < options.recoveries; ++i) {
    Place place;
    const auto loss = i % 2 == 0 ? CrashFileSystem::kKeepAll : CrashFileSystem::kDropAll;
    // The first one after the end of the work.
    const int64_t event = i == 0 ? kAfterTheEnd : i * events / options.recoveries;
    place.before.push_back({event, loss, 0});
    std::vector<PowerFailure> failures = place.before;
    failures.push_back({kAfterTheEnd, CrashFileSystem::kKeepAll, 0});
    run.calls = &place.calls;
    PROTOPAGE_CHECK(RunThroughPowerFailures(scenario.make, failures, run).ok());
    places.push_back(std::move(place));
  }
  return places;
}

std::string LossName(CrashFileSystem::Loss loss) {
  switch (loss) {
    case CrashFileSystem::kDropAll:
      return "nothing unsynced survives";
    case CrashFileSystem::kKeepAll:
      return "all survives";
    case CrashFileSystem::kKeepNewest:
      return "only the newest survives";
    case CrashFileSystem::kMix:
      break;
  }
  return "a mix survives";
}

// When the power fails after a call that is made so often: soon, at the end, and now and then. What
// one call made durable may be needed much later.
std::vector<int64_t> EventsAfter(int64_t times) {
  if (times > 1) return {1, kAfterTheEnd, 2, 3, 4, 5, 6, 7, 9, 12, 16, 22, 33, 50};
  std::vector<int64_t> events = {kAfterTheEnd};
  for (int64_t event = 1; event <= 80; ++event) events.push_back(event);
  return events;
}

// Leaves `calls` out of one scenario.
std::string LeaveOutOf(const NamedCrashScenario& scenario, const std::vector<Place>& places,
                       const std::set<std::string>& calls, int64_t max_trials) {
  PowerFailureOptions run;
  run.write_every = scenario.write_every;
  run.left_out = calls;
  int64_t trials = 0;
  for (const Place& place : places) {
    int64_t times = 0;
    for (const std::string& call : calls) {
      const auto found = place.calls.find(call);
      if (found != place.calls.end()) times += found->second;
    }
    if (times == 0) continue;
    // The first, the last, and one in between.
    const std::set<int64_t> which = {1, (times + 1) / 2, times};
    for (uint64_t seed = 0; seed < 24; ++seed) {
      const auto loss = seed == 0   ? CrashFileSystem::kDropAll
                        : seed == 1 ? CrashFileSystem::kKeepNewest
                                    : CrashFileSystem::kMix;
      for (const int64_t event : EventsAfter(times)) {
        // Fewer trials of runs that recover.
        if (!place.before.empty() && event > 3) continue;
        for (const int64_t left_out : which) {
          if (++trials > max_trials) return "";
          std::vector<PowerFailure> failures = place.before;
          failures.push_back({event, loss, seed, left_out});
          const std::string error = InChild([&] {
            return std::string(RunThroughPowerFailures(scenario.make, failures, run).message());
          });
          if (!error.empty()) {
            return absl::StrCat(scenario.name, ", ", LossName(loss), ": ", error);
          }
        }
      }
    }
  }
  return "";
}

// The same, where a sync fails and the machine goes on.
std::string LeaveOutWithFailedSyncs(const NamedCrashScenario& scenario,
                                    const std::set<std::string>& calls, int64_t max_trials) {
  PowerFailureOptions run;
  run.left_out = calls;
  return InChild([&] {
    bool came = true;
    for (int64_t sync = 1; came && sync <= max_trials; ++sync) {
      const absl::Status status = RunThroughFailedSync(scenario.make, sync, &came, run);
      if (!status.ok()) {
        return absl::StrCat(scenario.name, ", a sync fails: ", status.message());
      }
    }
    return std::string();
  });
}

}  // namespace

LeftOutCalls::LeftOutCalls(std::vector<NamedCrashScenario> scenarios, const LeftOutOptions& options)
    : scenarios_(std::move(scenarios)), options_(options) {
  for (const NamedCrashScenario& scenario : scenarios_) {
    places_.push_back(Places(scenario, options_));
  }
}

LeftOutCalls::~LeftOutCalls() = default;

std::vector<LeftOutCall> LeftOutCalls::Find() const {
  std::map<std::string, int64_t> all;
  for (const auto& places : places_) {
    for (const Place& place : places) {
      for (const auto& [name, times] : place.calls) all[name] += times;
    }
  }
  std::vector<LeftOutCall> calls;
  for (const auto& [name, times] : all) calls.push_back({name, times});
  return calls;
}

std::string LeftOutCalls::LeaveOut(const std::set<std::string>& calls) const {
  for (size_t i = 0; i < scenarios_.size(); ++i) {
    const std::string found = LeaveOutOf(scenarios_[i], places_[i], calls, options_.max_trials);
    if (!found.empty()) return found;
  }
  // Only a sync of a file can fail here.
  const bool syncs = std::any_of(calls.begin(), calls.end(), [](const std::string& call) {
    return absl::StartsWith(call, "sync ") && !absl::StartsWith(call, "sync directory");
  });
  if (!syncs) return "";
  for (const NamedCrashScenario& scenario : scenarios_) {
    const std::string found = LeaveOutWithFailedSyncs(scenario, calls, options_.max_trials);
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace protopage
