#include "protopage/trainer/run/checkpoint_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

class CheckpointStateTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path =
        absl::StrCat(testing::TempDir(), "/checkpoint_state_", getpid(), "_",
                     testing::UnitTest::GetInstance()->current_test_info()->name());
    absl::StatusOr<RunDirectory> run = RunDirectory::Create(DefaultFileSystem(), path, {});
    PROTOPAGE_ASSERT_OK(run);
    run_ = std::make_unique<RunDirectory>(*std::move(run));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(folder_, run_->BeginCheckpoint(120));
  }

  // Reads what `json` says, as the state of a run with two stages.
  absl::StatusOr<CheckpointState> Read(const nlohmann::ordered_json& json) {
    PROTOPAGE_RETURN_IF_ERROR(run_->CommitCheckpoint(120, json, 1));
    return ReadCheckpointState(*run_, folder_, 2);
  }

  static CheckpointState InTheMiddle() {
    CheckpointState state;
    state.position = {1, 20, 120, 3};
    state.head_classes = 10;
    state.prototypes = true;
    state.unindexed = {4, 1};
    EvalReport report;
    report.name = "source";
    state.reports.push_back(report);
    state.trainer = {{"queues", 7}};
    state.epoch.Add({2.5, 0.25});
    state.interval.Add({1.5, 0.75});
    state.images = {40, "0123456789abcdef"};
    state.bad_steps = 2;
    state.metrics_bytes = 4321;
    return state;
  }

  std::unique_ptr<RunDirectory> run_;
  std::string folder_;
};

TEST_F(CheckpointStateTest, ReadsWhatWasWritten) {
  const CheckpointState state = InTheMiddle();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointState read, Read(ToJson(state)));
  EXPECT_EQ(read.position.stage, 1);
  EXPECT_EQ(read.position.stage_step, 20);
  EXPECT_EQ(read.position.run_step, 120);
  EXPECT_EQ(read.position.skipped_steps, 3);
  EXPECT_EQ(read.head_classes, 10);
  EXPECT_EQ(read.unindexed, state.unindexed);
  ASSERT_EQ(read.reports.size(), 1u);
  EXPECT_EQ(read.reports[0].name, "source");
  EXPECT_EQ(read.trainer, state.trainer);
  EXPECT_EQ(read.epoch.loss, 2.5);
  EXPECT_EQ(read.epoch.accuracy, 0.25);
  EXPECT_EQ(read.epoch.steps, 1);
  EXPECT_EQ(read.metrics_bytes, 4321);
  EXPECT_EQ(read.interval.loss, 1.5);
  EXPECT_EQ(read.interval.accuracy, 0.75);
  EXPECT_EQ(read.interval.steps, 1);
  EXPECT_EQ(read.bad_steps, 2);
  EXPECT_EQ(read.images.count, 40);
  EXPECT_EQ(read.images.labels, "0123456789abcdef");
  nlohmann::ordered_json earlier = ToJson(state);
  for (const char* key : {"metrics_bytes", "interval_loss_sum", "interval_accuracy_sum",
                          "interval_steps", "bad_steps", "images", "image_labels_xxh3"}) {
    EXPECT_EQ(earlier.erase(key), 1u) << key;
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointState old, Read(earlier));
  EXPECT_EQ(old.metrics_bytes, -1);
  EXPECT_EQ(old.interval.steps, 0);
  EXPECT_EQ(old.images.count, -1);
}

TEST_F(CheckpointStateTest, BetweenStagesThereIsNoStateOfOne) {
  CheckpointState state = InTheMiddle();
  state.position.stage_step = 0;
  EXPECT_FALSE(ToJson(state).contains("trainer"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointState read, Read(ToJson(state)));
  EXPECT_TRUE(read.trainer.is_null());
  EXPECT_EQ(read.epoch.steps, 0);
}

TEST_F(CheckpointStateTest, DamageIsNamed) {
  const nlohmann::ordered_json good = ToJson(InTheMiddle());
  const std::pair<const char*, nlohmann::json> mistakes[] = {
      {"stage", 3}, {"stage", -1}, {"stage_step", 121}, {"head_classes", -1}, {"run_step", "x"}};
  for (const auto& [key, value] : mistakes) {
    nlohmann::ordered_json json = good;
    json[key] = value;
    EXPECT_THAT(Read(json), StatusIs(absl::StatusCode::kDataLoss, "/state.json is damaged: "))
        << key;
  }
  nlohmann::ordered_json json = good;
  json.erase("trainer");
  EXPECT_THAT(Read(json), StatusIs(absl::StatusCode::kDataLoss, "trainer"));
}

TEST_F(CheckpointStateTest, TheExampleOfTheHeader) {
  constexpr int64_t num_stages = 1;
  RunDirectory& run = *run_;
  const std::string& folder = folder_;
  const auto example = [&]() -> absl::Status {
    CheckpointState state;
    state.position.run_step = 120;
    PROTOPAGE_RETURN_IF_ERROR(run.CommitCheckpoint(120, ToJson(state), /*keep=*/2));
    PROTOPAGE_ASSIGN_OR_RETURN(state, ReadCheckpointState(run, folder, num_stages));
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
}

TEST(TrainingMeansTest, SkippedStepsDoNotCount) {
  TrainingMeans means;
  EXPECT_TRUE(std::isnan(means.Loss()));
  means.Add({2, 0.5});
  means.Add({100, 1, /*skipped=*/true});
  means.Add({4, 0.25});
  EXPECT_EQ(means.Loss(), 3);
  EXPECT_EQ(means.Accuracy(), 0.375);
}

}  // namespace
}  // namespace protopage
