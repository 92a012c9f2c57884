// The power fails in the middle of a whole training, at one event of its storage after another.
// What was reported durable is there afterwards, and the resumed run ends with the same net,
// prototypes, results and metrics as an uninterrupted one (testing/crash_training.h).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"
#include "protopage/prototypes/testing/crash_scenario.h"
#include "protopage/trainer/testing/crash_training.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

class TrainingCrashTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    PowerFailureOptions options;
    options.events = &events_;
    PROTOPAGE_ASSERT_OK(RunThroughPowerFailures(Make(), {}, options));
    ASSERT_GT(events_, 100);
  }

  static MakeCrashScenario Make() {
    static const auto* const config = [] {
      const std::string data = absl::StrCat(testing::TempDir(), "/training_crash_test_", getpid());
      PROTOPAGE_EXPECT_OK(WriteTinyLists(data));
      // Enough checkpoints that some are retired, one of them in the middle of the dominant stage.
      return new TrainConfig(TinyListTrainConfig(
          data, {"stages[3].steps=0", "stages[3].epochs=3", "threads=1", "log_every_steps=1"}));
    }();
    static auto* const outcome = new TrainedOutcome;
    return [] { return std::make_unique<CrashTraining>(*config, outcome); };
  }

  // "all" in the environment means every event and sync.
  static int64_t Stride(int64_t count) {
    const char* runs = std::getenv("PROTOPAGE_CRASH_RUNS");
    return runs != nullptr && std::string(runs) == "all" ? 1 : count / 12;
  }
  static void RunThroughEvents(CrashFileSystem::Loss loss) {
    for (int64_t event = 1; event <= events_ + 1; event += Stride(events_)) {
      const PowerFailure failure{event, loss, /*seed=*/static_cast<uint64_t>(event)};
      PROTOPAGE_ASSERT_OK(RunThroughPowerFailures(Make(), {failure}))
          << "event " << event << " of " << events_;
    }
  }

  static int64_t events_;
};

int64_t TrainingCrashTest::events_ = 0;

TEST_F(TrainingCrashTest, NothingUnsyncedSurvives) { RunThroughEvents(CrashFileSystem::kDropAll); }

TEST_F(TrainingCrashTest, OnlyTheNewestWritesSurvive) {
  RunThroughEvents(CrashFileSystem::kKeepNewest);
}

TEST_F(TrainingCrashTest, AMixSurvives) { RunThroughEvents(CrashFileSystem::kMix); }

TEST_F(TrainingCrashTest, AgainAndAgainAlsoWhileItRecovers) {
  for (int64_t event = 1; event <= events_ + 1; event += Stride(events_)) {
    std::vector<PowerFailure> failures;
    for (const int64_t at : {event, event % 7 + 1, event % 31 + 1, event % 101 + 1}) {
      failures.push_back({at, CrashFileSystem::kMix, static_cast<uint64_t>(1000 * event + at)});
    }
    PROTOPAGE_ASSERT_OK(RunThroughPowerFailures(Make(), failures)) << "event " << event;
  }
}

TEST_F(TrainingCrashTest, ASyncThatFailsLosesNothing) {
  const int64_t syncs = events_ / 2;  // Some fewer.
  bool came = true;
  for (int64_t sync = 1; came; sync += Stride(syncs)) {
    PROTOPAGE_ASSERT_OK(RunThroughFailedSync(Make(), sync, &came)) << "sync " << sync;
  }
}

}  // namespace
}  // namespace protopage
