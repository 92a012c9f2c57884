// As prototypes/durability_test.cc, of a whole training: each sync, sync of a directory and rename
// is needed.
//
//   ./bazelw test //trainer:training_durability_test --test_output=all
//
// prints the table of docs/durability.md. With PROTOPAGE_CRASH_RUNS in the environment, calls that
// are covered are left out alone, too, to see that nothing is found.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/left_out_calls.h"
#include "protopage/trainer/testing/crash_training.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

// Calls that no test finds missing when they alone are left out, and what covers them: when that is
// left out as well, a test fails.
struct Covered {
  std::set<std::string> calls;
  std::string cover;
};

const std::vector<Covered>& AllCovered() {
  const std::string folder = "/runs/group/a/checkpoints/N/";
  static const auto* const covered = new std::vector<Covered>{
      // A checkpoint without DONE does not count, and DONE comes last.
      {{absl::StrCat("rename ", folder, "index-changes.bin.tmp to index-changes.bin"),
        absl::StrCat("rename ", folder, "index.bin.tmp to index.bin"),
        absl::StrCat("rename ", folder, "model.h5.tmp to model.h5"),
        absl::StrCat("rename ", folder, "prototypes.json.tmp to prototypes.json"),
        absl::StrCat("rename ", folder, "state.json.tmp to state.json")},
       absl::StrCat("rename ", folder, "DONE.tmp to DONE")},
      // An index is synced before it gets its signature, and then before it gets its name.
      {{absl::StrCat("sync ", folder, "index-changes.bin.tmp after data, the first")},
       absl::StrCat("sync ", folder, "index-changes.bin.tmp after data")},
      {{absl::StrCat("sync ", folder, "index.bin.tmp after data, the first")},
       absl::StrCat("sync ", folder, "index.bin.tmp after data")},
      // So are the names of classes. A run that has no checkpoint yet writes them again.
      {{"rename /runs/group/a/classes/source.h5.tmp to source.h5",
        "rename /runs/group/a/classes/target.h5.tmp to target.h5",
        "sync directory /runs/group/a/classes after the rename to source.h5",
        "sync /runs/group/a/classes/source.h5.tmp after the header (0, N), the first",
        "sync /runs/group/a/classes/target.h5.tmp after the header (0, N), the first"},
       absl::StrCat("sync ", folder, "DONE.tmp after data, the first")},
      // The names of the folder, of metrics.jsonl and of classes among them, are synced with each
      // checkpoint and with each page of the report.
      {{"sync directory /runs/group/a after nothing",
        "sync directory /runs/group/a after the rename to report.html"},
       "sync directory /runs/group/a after nothing"},
  };
  return *covered;
}

// The group that the call is in; null: none.
const Covered* FindCovered(const std::string& call) {
  for (const Covered& covered : AllCovered()) {
    if (covered.calls.count(call) > 0) return &covered;
  }
  return nullptr;
}

// Of the storage of prototypes, which its own test looks at.
bool IsOfPrototypes(const std::string& call) {
  return absl::StrContains(call, "/prototypes.h5") || absl::StrContains(call, "/queues.h5") ||
         absl::StrContains(call, "/log") || absl::StrContains(call, "TABLE") ||
         absl::EndsWith(call, "after making log");
}

// Whether calls that are covered are tried, too.
bool Thorough() { return std::getenv("PROTOPAGE_CRASH_RUNS") != nullptr; }

LeftOutCalls Calls() {
  static const auto* const config = [] {
    const std::string data =
        absl::StrCat(testing::TempDir(), "/training_durability_test_", getpid());
    PROTOPAGE_EXPECT_OK(WriteTinyLists(data));
    return new TrainConfig(TinyListTrainConfig(
        data, {"stages[3].steps=0", "stages[3].epochs=3", "threads=1", "log_every_steps=1"}));
  }();
  static auto* const outcome = new TrainedOutcome;
  LeftOutOptions options;
  options.max_trials = 520;
  options.recoveries = 2;
  return LeftOutCalls(
      {{"training", [] { return std::make_unique<CrashTraining>(*config, outcome); }}}, options);
}

// Every kParts-th call, from GetParam() on: parts run concurrently.
constexpr int64_t kParts = 2;
class TrainingDurabilityTest : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Parts, TrainingDurabilityTest, testing::Range(int64_t{0}, kParts));

TEST_P(TrainingDurabilityTest, WithoutACallATestFails) {
  const LeftOutCalls calls = Calls();
  int64_t count = 0;
  for (const LeftOutCall& call : calls.Find()) {
    if (IsOfPrototypes(call.name) || ++count % kParts != GetParam()) continue;
    const Covered* const covered = FindCovered(call.name);
    // All trials of a covered call take long.
    const std::string found = covered != nullptr && !Thorough() ? "" : calls.LeaveOut({call.name});
    std::printf("| %s | %d | %s |\n", call.name.c_str(), static_cast<int>(call.times),
                covered == nullptr ? found.c_str()
                                   : absl::StrCat("nothing: covered by *", covered->cover,
                                                  "*; without both, a test fails")
                                         .c_str());
    std::fflush(stdout);
    EXPECT_EQ(found.empty(), covered != nullptr) << call.name << ": " << found;
  }
  EXPECT_GT(count, 20);
}

TEST(CoveredCallsTest, WithoutCoveredCallsAndTheOneThatCoversThemATestFails) {
  EXPECT_LE(AllCovered().size(), 5u);
  const LeftOutCalls calls = Calls();
  for (const Covered& covered : AllCovered()) {
    std::set<std::string> all = covered.calls;
    all.insert(covered.cover);
    EXPECT_NE(calls.LeaveOut(all), "") << covered.cover;
  }
}

}  // namespace
}  // namespace protopage
