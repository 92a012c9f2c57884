#include "protopage/model/optimizers/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

std::unique_ptr<Schedule> Make(const ScheduleConfig& config, int64_t total_steps = 100) {
  auto schedule = Schedule::Create(config, total_steps);
  PROTOPAGE_EXPECT_OK(schedule);
  return *std::move(schedule);
}

TEST(ScheduleTest, ConstantIsOne) {
  const auto schedule = Make({});
  EXPECT_EQ(schedule->Factor(0), 1.0);
  EXPECT_EQ(schedule->Factor(1000000), 1.0);
}

TEST(ScheduleTest, StepFallsAtItsMilestones) {
  const auto schedule = Make({.name = "step", .milestones = {10, 20}, .gamma = 0.5});
  EXPECT_EQ(schedule->Factor(9), 1.0);
  EXPECT_EQ(schedule->Factor(10), 0.5);
  EXPECT_EQ(schedule->Factor(19), 0.5);
  EXPECT_EQ(schedule->Factor(20), 0.25);
}

TEST(ScheduleTest, CosineGoesToItsEnd) {
  const auto schedule = Make({.name = "cosine", .final_factor = 0.1}, 100);
  EXPECT_EQ(schedule->Factor(0), 1.0);
  EXPECT_NEAR(schedule->Factor(50), 0.55, 1e-12);
  EXPECT_NEAR(schedule->Factor(100), 0.1, 1e-12);
  EXPECT_NEAR(schedule->Factor(500), 0.1, 1e-12);
}

TEST(ScheduleTest, DecayIsKeras) {
  const auto schedule = Make({.name = "decay", .decay = 1e-2});
  EXPECT_EQ(schedule->Factor(0), 1.0);
  EXPECT_DOUBLE_EQ(schedule->Factor(100), 0.5);
}

TEST(ScheduleTest, WarmUpStandsInFrontOfAny) {
  const auto cosine = Make({.name = "cosine", .warmup_steps = 4}, 104);
  EXPECT_DOUBLE_EQ(cosine->Factor(0), 0.25);
  EXPECT_DOUBLE_EQ(cosine->Factor(3), 1.0);
  EXPECT_DOUBLE_EQ(cosine->Factor(4), 1.0);
  EXPECT_NEAR(cosine->Factor(54), 0.5, 1e-12);
  const auto decay = Make({.name = "decay", .warmup_steps = 10, .decay = 0.1});
  EXPECT_DOUBLE_EQ(decay->Factor(4), 0.5);
  EXPECT_DOUBLE_EQ(decay->Factor(20), 0.5);
}

TEST(ScheduleTest, WarmUpCanBeAShareOfTheSteps) {
  const auto share = Make({.name = "cosine", .warmup_share = 0.25}, 104);
  const auto steps = Make({.name = "cosine", .warmup_steps = 26}, 104);
  for (int64_t step = 0; step <= 104; ++step) EXPECT_EQ(share->Factor(step), steps->Factor(step));
  // Of however few steps.
  EXPECT_EQ(Make({.name = "cosine", .warmup_share = 0.67}, 1)->Factor(0), 1.0);
}

TEST(ScheduleTest, PlateauFallsAfterPatienceAndNotBelowItsMinimum) {
  const auto schedule =
      Make({.name = "plateau", .factor = std::sqrt(0.1), .patience = 2, .min_factor = 0.2});
  EXPECT_FALSE(schedule->EndEpoch(0.5));
  EXPECT_FALSE(schedule->EndEpoch(0.5));      // 1 without a gain.
  EXPECT_FALSE(schedule->EndEpoch(0.6));      // A gain.
  EXPECT_FALSE(schedule->EndEpoch(0.60005));  // Less than min_delta: 1 without.
  EXPECT_TRUE(schedule->EndEpoch(0.59));      // 2 without.
  EXPECT_DOUBLE_EQ(schedule->Factor(0), std::sqrt(0.1));
  EXPECT_FALSE(schedule->EndEpoch(0.3));
  EXPECT_TRUE(schedule->EndEpoch(0.3));
  EXPECT_DOUBLE_EQ(schedule->Factor(0), 0.2);
  EXPECT_FALSE(schedule->EndEpoch(0.3));
  EXPECT_FALSE(schedule->EndEpoch(0.3));  // Already at the minimum.
  EXPECT_DOUBLE_EQ(schedule->Factor(12345), 0.2);
}

TEST(ScheduleTest, PlateauGoesTogetherWithDecay) {
  const auto schedule = Make({.name = "plateau", .decay = 0.5, .factor = 0.1, .patience = 1});
  EXPECT_DOUBLE_EQ(schedule->Factor(2), 0.5);
  schedule->EndEpoch(0.5);
  EXPECT_TRUE(schedule->EndEpoch(0.5));
  EXPECT_DOUBLE_EQ(schedule->Factor(2), 0.05);
}

TEST(ScheduleTest, OnlyPlateauListensToEpochs) {
  const auto schedule = Make({.name = "cosine"});
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(schedule->EndEpoch(0.0));
  EXPECT_EQ(schedule->Factor(0), 1.0);
}

TEST(ScheduleTest, WrongValuesAreNamed) {
  EXPECT_THAT(Schedule::Create({.name = "linear"}, 10),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "must be one of constant, step, cosine, decay, plateau"));
  EXPECT_THAT(Schedule::Create({.name = "cosine", .warmup_steps = 10}, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, "must be less than the 10 steps"));
  EXPECT_THAT(Schedule::Create({.name = "cosine", .warmup_share = 1.0}, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, "warmup_share is 1, must be in [0, 1)"));
  EXPECT_THAT(Schedule::Create({.warmup_steps = 3, .warmup_share = 0.5}, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, "warmup_steps is 3"));
  EXPECT_THAT(Schedule::Create({.name = "step", .milestones = {10, 10}}, 10),
              StatusIs(absl::StatusCode::kInvalidArgument, "milestones[1] is 10"));
  ScheduleConfig config;
  const auto json = ParseJson(R"({"name": "plateau", "patience": 0})", "c");
  PROTOPAGE_ASSERT_OK(json);
  EXPECT_THAT(ReadConfig(*json, "schedule", config),
              StatusIs(absl::StatusCode::kInvalidArgument, "schedule.patience"));
}

struct RateConfig {
  double learning_rate = 0.5;
};

absl::StatusOr<double> Example(const RateConfig& optimizer_config, int64_t step,
                               double training_accuracy) {
  ScheduleConfig config;
  config.name = "cosine";
  PROTOPAGE_ASSIGN_OR_RETURN(auto schedule, Schedule::Create(config, /*total_steps=*/5000));
  const double learning_rate = optimizer_config.learning_rate * schedule->Factor(step);
  schedule->EndEpoch(training_accuracy);  // Read by plateau only.
  return learning_rate;
}

TEST(ScheduleTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double first, Example({}, 0, 0.1));
  EXPECT_EQ(first, 0.5);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double middle, Example({}, 2500, 0.1));
  EXPECT_NEAR(middle, 0.25, 1e-12);
}

}  // namespace
}  // namespace protopage
