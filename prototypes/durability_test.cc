// Each sync, sync of a directory and rename of the storage is needed: without it, a crash test
// fails.
//
//   ./bazelw test //prototypes:durability_test --test_output=all
//
// prints the table of docs/durability.md. PROTOPAGE_CRASH_RUNS in the environment multiplies the
// trials of a call that is not found missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "protopage/prototypes/testing/changed_store.h"
#include "protopage/prototypes/testing/left_out_calls.h"
#include "protopage/prototypes/testing/stored_training.h"

namespace protopage {
namespace {

// Calls that no test finds missing, and the call that covers each: without both, a test fails.
const std::map<std::string, std::string>& Covered() {
  static const auto* const covered = new std::map<std::string, std::string>{
      // The first commit of a log ends writing in place, with a sync of the rows. The flush of the
      // table before it has synced them.
      {"sync TABLE after nothing", "sync TABLE after data"},
      // Names of added classes are synced, and then again before the number of classes rises.
      {"sync TABLE after data, the first", "sync TABLE after data"},
      // A larger copy is synced before it gets its signature, and then before it gets its name.
      {"sync /w.h5.tmp after the header (0, N), the first",
       "sync /w.h5.tmp after the header (0, 0)"},
  };
  return *covered;
}

LeftOutCalls Calls() {
  static auto* const contents = new StoredContents;
  static auto* const changes = new ChangedStoreContents;
  LeftOutOptions options;
  if (const char* runs = std::getenv("PROTOPAGE_CRASH_RUNS")) {
    options.max_trials *= std::max(1, std::atoi(runs));
  }
  return LeftOutCalls(
      {{"stored training", [] { return std::make_unique<StoredTraining>(contents); }, 7},
       {"changed store", [] { return std::make_unique<ChangedStore>(changes); }, 3}},
      options);
}

// Every kParts-th call, from GetParam() on: parts run concurrently.
constexpr int64_t kParts = 4;
class DurabilityTest : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Parts, DurabilityTest, testing::Range(int64_t{0}, kParts));

TEST_P(DurabilityTest, WithoutACallATestFails) {
  const LeftOutCalls calls = Calls();
  const std::vector<LeftOutCall> all = calls.Find();
  EXPECT_GT(all.size(), 25u);
  for (size_t i = GetParam(); i < all.size(); i += kParts) {
    const std::string found = calls.LeaveOut({all[i].name});
    std::printf("| %s | %d | %s |\n", all[i].name.c_str(), static_cast<int>(all[i].times),
                found.c_str());
    std::fflush(stdout);
    EXPECT_EQ(found.empty(), Covered().count(all[i].name) > 0) << all[i].name;
  }
}

TEST(CoveredCallsTest, WithoutACoveredCallAndTheOneThatCoversItATestFails) {
  EXPECT_LE(Covered().size(), 5u);
  const LeftOutCalls calls = Calls();
  for (const auto& [call, cover] : Covered()) {
    EXPECT_NE(calls.LeaveOut({call, cover}), "") << call << " and " << cover;
  }
}

}  // namespace
}  // namespace protopage
