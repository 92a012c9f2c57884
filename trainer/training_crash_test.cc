// The power fails in the middle of a whole training, at one event of its storage after another.
// Resumed, it ends with the same net, prototypes and results as an uninterrupted training.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

constexpr char kRun[] = "/runs/a";

struct Outcome {
  NamedValues parameters;
  RowMatrixXf prototypes;
  std::string results;

  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.parameters == b.parameters && a.prototypes == b.prototypes && a.results == b.results;
  }
};

class TrainingCrashTest : public testing::Test {
 protected:
  static TrainConfig Config() {
    static const std::string* const data = [] {
      auto* path =
          new std::string(absl::StrCat(testing::TempDir(), "/training_crash_test_", getpid()));
      PROTOPAGE_EXPECT_OK(WriteTinyLists(*path));
      return path;
    }();
    // Enough checkpoints that some are retired, one of them in the middle of the dominant stage.
    return TinyListTrainConfig(
        *data, {"stages[3].steps=0", "stages[3].epochs=3", "threads=1", "log_every_steps=1"});
  }

  static absl::Status TrainOn(CrashFileSystem* fs, bool resume) {
    TrainOptions options;
    options.directory = kRun;
    options.file_system = fs;
    options.resume = resume;
    return Train(Config(), options).status();
  }

  static Outcome Load(CrashFileSystem* fs) {
    Outcome outcome;
    const auto session = LoadRun(fs, kRun, Config());
    PROTOPAGE_EXPECT_OK(session);
    if (!session.ok()) return outcome;
    outcome.parameters = NetValues(**session);
    outcome.prototypes = PrototypeRows(**session);
    outcome.results = ReadFile(fs, JoinPath(kRun, "results.json")).value();
    return outcome;
  }
};

TEST_F(TrainingCrashTest, AResumedRunEndsAsTheUninterruptedOne) {
  CrashFileSystem straight;
  straight.CrashAt(0);
  PROTOPAGE_ASSERT_OK(TrainOn(&straight, false));
  const Outcome want = Load(&straight);
  ASSERT_GT(want.prototypes.rows(), 0);
  const int64_t events = straight.events();
  EXPECT_GT(events, 100);
  const char* runs = std::getenv("PROTOPAGE_CRASH_RUNS");
  const bool all = runs != nullptr && std::string(runs) == "all";
  const int64_t stride = all ? 1 : events / 12;
  int64_t seed = 0;
  for (int64_t event = 2; event <= events; event += stride, ++seed) {
    SCOPED_TRACE(absl::StrCat("event ", event, " of ", events, ", seed ", seed));
    CrashFileSystem fs;
    fs.CrashAt(event);
    ASSERT_THAT(TrainOn(&fs, false), StatusIs(absl::StatusCode::kUnavailable, "the power is gone"));
    ASSERT_TRUE(fs.crashed());
    fs.Restart(seed % 3 == 0 ? CrashFileSystem::kDropAll : CrashFileSystem::kMix, seed);
    // Before its config is durable there is no run.
    const bool begun = fs.Exists(JoinPath(kRun, "config.json"));
    absl::Status status = TrainOn(&fs, begun);
    PROTOPAGE_ASSERT_OK(status);
    ASSERT_TRUE(Load(&fs) == want);
  }
}

}  // namespace
}  // namespace protopage
