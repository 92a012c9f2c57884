#include "protopage/sampling/look_ahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/sampling/learning_source.h"

namespace protopage {
namespace {

constexpr int64_t kSteps = 40;

absl::StatusOr<std::unique_ptr<StepPlanner>> MakePlanner(int64_t look_ahead,
                                                         LearningSource* source) {
  const SelectionConfig config = {
      .mode = "dominant", .classes_per_step = 9, .positive_classes = 3, .look_ahead = look_ahead};
  return StepPlanner::Create(config, {.seed = 1,
                                      .num_classes = 60,
                                      .batch_size = 20,
                                      .num_images = [](ClassId id) { return id % 4 + 1; },
                                      .dominants = source});
}

std::vector<ClassId> SerialClasses(int64_t look_ahead, int64_t from = 0) {
  LearningSource source;
  auto planner = MakePlanner(look_ahead, &source).value();
  std::vector<ClassId> classes;
  for (int64_t step = 0; step < kSteps; ++step) {
    while (planner->next_plan() <= step + look_ahead) PROTOPAGE_EXPECT_OK(planner->Plan());
    const StepPlan& plan = planner->pending().front();
    if (step >= from) classes.insert(classes.end(), plan.classes.begin(), plan.classes.end());
    PROTOPAGE_EXPECT_OK(planner->Apply(step, Predict(plan)));
  }
  return classes;
}

void Nap(uint64_t key, int64_t step) {
  RandomStream random(key, RandomPurpose::kTest, step);
  std::this_thread::sleep_for(std::chrono::microseconds(random.Below(400)));
}

// Steps [from, to); appends the classes of each.
absl::Status Train(LookAhead& ahead, int64_t from, int64_t to, std::atomic<bool>* scattering,
                   std::vector<ClassId>* classes) {
  for (int64_t step = from; step < to; ++step) {
    absl::StatusOr<std::shared_ptr<const StepPlan>> plan = ahead.Plan(step);
    if (!plan.ok()) return plan.status();
    EXPECT_EQ((*plan)->step, step);
    classes->insert(classes->end(), (*plan)->classes.begin(), (*plan)->classes.end());
    Nap(1, step);
    if (absl::Status settled = ahead.Settle(); !settled.ok()) return settled;
    *scattering = true;
    Nap(2, step);
    *scattering = false;
    ahead.Finish(step, Predict(**plan));
  }
  return ahead.Settle();
}

absl::Status Example(const std::unique_ptr<StepPlanner>& planner,
                     const std::function<absl::Status(int64_t step)>& update_index,
                     const std::function<absl::Status(const StepPlan& plan)>& prefetch) {
  constexpr int64_t first = 0, end_step = 3;
  LookAhead ahead(planner.get(), end_step, {.before_apply = update_index, .on_plan = prefetch});
  for (int64_t step = first; step < end_step; ++step) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<const StepPlan> plan, ahead.Plan(step));
    const std::vector<int32_t> predicted_slots = Predict(*plan);
    PROTOPAGE_RETURN_IF_ERROR(ahead.Settle());  // The planner reads no rows from here,
    EXPECT_EQ(plan->step, step);
    ahead.Finish(step, predicted_slots);  // to here.
  }
  return ahead.Settle();
}

TEST(LookAhead, TheExampleOfTheHeader) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(1, &source));
  std::vector<std::string> log;
  PROTOPAGE_EXPECT_OK(Example(
      planner,
      [&](int64_t step) {
        log.push_back(absl::StrCat("update ", step));
        return absl::OkStatus();
      },
      [&](const StepPlan& plan) {
        log.push_back(absl::StrCat("prefetch ", plan.step));
        return absl::OkStatus();
      }));
  EXPECT_THAT(log, ::testing::ElementsAre("prefetch 0", "prefetch 1", "update 0", "prefetch 2",
                                          "update 1", "update 2"));
}

class LookAheadTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(LookAheadTest, GivesTheSerialPlansAndNeverPlansWhileRowsChange) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
  std::atomic<bool> scattering{false};
  std::vector<std::string> log;
  {
    std::vector<ClassId> classes;
    LookAhead ahead(planner.get(), kSteps,
                    {.before_apply =
                         [&](int64_t step) {
                           EXPECT_FALSE(scattering);
                           Nap(3, step);
                           log.push_back(absl::StrCat("apply ", step));
                           return absl::OkStatus();
                         },
                     .on_plan =
                         [&](const StepPlan& plan) {
                           EXPECT_FALSE(scattering);
                           Nap(4, plan.step);
                           log.push_back(absl::StrCat("plan ", plan.step));
                           return absl::OkStatus();
                         }});
    PROTOPAGE_ASSERT_OK(Train(ahead, 0, kSteps, &scattering, &classes));
    EXPECT_EQ(classes, SerialClasses(GetParam()));
    EXPECT_EQ(ahead.Plan(kSteps).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  std::vector<std::string> expected;
  for (int64_t step = 0; step <= GetParam(); ++step)
    expected.push_back(absl::StrCat("plan ", step));
  for (int64_t step = 0; step < kSteps; ++step) {
    expected.push_back(absl::StrCat("apply ", step));
    if (step + 1 + GetParam() < kSteps) {
      expected.push_back(absl::StrCat("plan ", step + 1 + GetParam()));
    }
  }
  EXPECT_EQ(log, expected);
}

TEST_P(LookAheadTest, GoesOnFromASavedStateAndAnnouncesThePendingPlans) {
  constexpr int64_t kSaved = 15;
  LearningSource source;
  std::atomic<bool> scattering{false};
  std::vector<ClassId> ignored;
  nlohmann::json state;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
    LookAhead ahead(planner.get(), kSteps, {});
    PROTOPAGE_ASSERT_OK(Train(ahead, 0, kSaved, &scattering, &ignored));
    state = planner->SaveState();
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
  PROTOPAGE_ASSERT_OK(planner->RestoreState(state));
  std::vector<int64_t> announced;
  std::vector<ClassId> classes;
  LookAhead ahead(planner.get(), kSteps,
                  {.before_apply = nullptr, .on_plan = [&](const StepPlan& plan) {
                     announced.push_back(plan.step);
                     return absl::OkStatus();
                   }});
  PROTOPAGE_ASSERT_OK(Train(ahead, kSaved, kSteps, &scattering, &classes));
  EXPECT_EQ(classes, SerialClasses(GetParam(), kSaved));
  ASSERT_EQ(announced.size(), static_cast<size_t>(kSteps - kSaved));
  EXPECT_EQ(announced.front(), kSaved);
  EXPECT_EQ(announced.back(), kSteps - 1);
}

TEST_P(LookAheadTest, ReportsTheErrorsOfPlannerAndHooks) {
  const absl::Status broken = absl::DataLossError("queues.h5 is truncated");
  std::atomic<bool> scattering{false};
  std::vector<ClassId> ignored;
  LearningSource source;
  {
    source.plan_error = broken;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
    LookAhead ahead(planner.get(), kSteps, {});
    EXPECT_EQ(ahead.Plan(0).status(), broken);
    EXPECT_EQ(ahead.Settle(), broken);
  }
  source.plan_error = absl::OkStatus();
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
    LookAhead ahead(
        planner.get(), kSteps,
        {.before_apply = [&](int64_t step) { return step == 3 ? broken : absl::OkStatus(); },
         .on_plan = nullptr});
    EXPECT_EQ(Train(ahead, 0, kSteps, &scattering, &ignored), broken);
  }
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
    LookAhead ahead(planner.get(), kSteps,
                    {.before_apply = nullptr, .on_plan = [&](const StepPlan& plan) {
                       return plan.step == 7 ? broken : absl::OkStatus();
                     }});
    EXPECT_EQ(Train(ahead, 0, kSteps, &scattering, &ignored), broken);
  }
}

TEST_P(LookAheadTest, TheNextPlanIsThereWhenItWasMade) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
  LookAhead ahead(planner.get(), kSteps, {});
  for (int64_t step = 0; step < kSteps; ++step) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto plan, ahead.Plan(step));
    PROTOPAGE_ASSERT_OK(ahead.Settle());
    const std::shared_ptr<const StepPlan> next = ahead.NextPlan();
    // Without look-ahead a plan waits for the step before it.
    EXPECT_EQ(next != nullptr, GetParam() > 0 && step + 1 < kSteps) << step;
    if (next != nullptr) {
      EXPECT_EQ(next->step, step + 1);
    }
    ahead.Finish(step, Predict(*plan));
    if (next != nullptr) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto following, ahead.Plan(step + 1));
      EXPECT_EQ(following->classes, next->classes);
    }
  }
}

TEST_P(LookAheadTest, RefusesAnotherStepThanTheNext) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
  LookAhead ahead(planner.get(), kSteps, {});
  EXPECT_EQ(ahead.Plan(1).status().code(), absl::StatusCode::kFailedPrecondition);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto plan, ahead.Plan(0));
  ahead.Finish(5, Predict(*plan));
  EXPECT_EQ(ahead.Settle().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(LookAheadTest, CanBeDestroyedAtAnyTime) {
  for (int64_t steps = 0; steps < 8; ++steps) {
    LearningSource source;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, MakePlanner(GetParam(), &source));
    LookAhead ahead(planner.get(), kSteps,
                    {.before_apply = nullptr, .on_plan = [](const StepPlan& plan) {
                       Nap(5, plan.step);
                       return absl::OkStatus();
                     }});
    for (int64_t step = 0; step < steps; ++step) {
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto plan, ahead.Plan(step));
      ahead.Finish(step, Predict(*plan));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, LookAheadTest, ::testing::Values(0, 1, 4));

}  // namespace
}  // namespace protopage
