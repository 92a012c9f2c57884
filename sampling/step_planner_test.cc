#include "protopage/sampling/step_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/sampling/learning_source.h"
#include "protopage/sampling/selection_modes.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kDataLoss = absl::StatusCode::kDataLoss;

const SelectionConfig kConfig = {
    .mode = "dominant", .classes_per_step = 9, .positive_classes = 3, .look_ahead = 2};

StepPlannerOptions Options(DominantSource* source) {
  return {.seed = 1,
          .num_classes = 100,
          .batch_size = 20,
          .num_images = [](ClassId id) { return id % 4 + 1; },
          .dominants = source};
}

std::string Text(const StepPlan& plan) {
  std::string text = absl::StrCat(plan.step, ":");
  for (const ClassId id : plan.classes) absl::StrAppend(&text, " ", id);
  absl::StrAppend(&text, " |");
  for (const int32_t slot : plan.positive_slots) absl::StrAppend(&text, " ", slot);
  absl::StrAppend(&text, " |");
  for (const PlannedSample& sample : plan.samples) {
    absl::StrAppend(&text, " ", sample.slot, "/", sample.image);
  }
  return text;
}

// Runs `steps` steps and returns their plans.
std::vector<std::string> RunSteps(StepPlanner& planner, int64_t steps) {
  std::vector<std::string> plans;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t step = planner.next_apply();
    while (planner.next_plan() <= step + planner.look_ahead()) PROTOPAGE_EXPECT_OK(planner.Plan());
    plans.push_back(Text(planner.pending().front()));
    PROTOPAGE_EXPECT_OK(planner.Apply(step, Predict(planner.pending().front())));
  }
  return plans;
}

absl::Status Example(const SelectionConfig& config, const StepPlannerOptions& options,
                     int64_t num_steps, int64_t* samples) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto planner, StepPlanner::Create(config, options));
  for (int64_t step = 0; step < num_steps; ++step) {
    while (planner->next_plan() <= step + planner->look_ahead()) {
      PROTOPAGE_RETURN_IF_ERROR(planner->Plan().status());  // Start loading its images and rows.
    }
    const StepPlan& plan = planner->pending().front();
    *samples += static_cast<int64_t>(plan.samples.size());
    const std::vector<int32_t> predicted_slots = Predict(plan);
    PROTOPAGE_RETURN_IF_ERROR(planner->Apply(step, predicted_slots));  // Pops the plan.
  }
  return absl::OkStatus();
}

TEST(StepPlanner, TheExampleOfTheHeader) {
  LearningSource source;
  int64_t samples = 0;
  PROTOPAGE_ASSERT_OK(Example(kConfig, Options(&source), 3, &samples));
  EXPECT_EQ(samples, 60);
}

TEST(StepPlanner, GivesEveryClassAnImageAndFillsTheBatchAtRandom) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  EXPECT_EQ(planner->active_classes(), 9);
  std::map<int32_t, int> extra;
  std::set<int64_t> images_of_3_mod_4;
  for (int64_t step = 0; step < 600; ++step) {
    while (planner->next_plan() <= step + 2) PROTOPAGE_ASSERT_OK(planner->Plan());
    const StepPlan& plan = planner->pending().front();
    ASSERT_EQ(plan.step, step);
    ASSERT_EQ(plan.classes.size(), 9u);
    ASSERT_EQ(plan.positive_slots.size(), 3u);
    ASSERT_EQ(plan.samples.size(), 20u);
    for (int b = 0; b < 20; ++b) {
      const PlannedSample& sample = plan.samples[b];
      if (b < 9) {
        ASSERT_EQ(sample.slot, b);
      } else {
        ++extra[sample.slot];
      }
      const ClassId id = plan.classes[sample.slot];
      ASSERT_GE(sample.image, 0);
      ASSERT_LT(sample.image, id % 4 + 1);
      if (id % 4 == 3) images_of_3_mod_4.insert(sample.image);
    }
    PROTOPAGE_ASSERT_OK(planner->Apply(step, {}));
  }
  EXPECT_THAT(images_of_3_mod_4, ElementsAre(0, 1, 2, 3));
  // 11 of 20 samples over 9 slots in 600 steps; 5 sigma of the binomial is 128.
  for (int32_t slot = 0; slot < 9; ++slot) EXPECT_NEAR(extra[slot], 733, 128) << slot;
}

TEST(StepPlanner, GivesImagesToPositivesOnlyWhenAsked) {
  LearningSource source;
  SelectionConfig config = kConfig;
  config.images_for = "positives";
  StepPlannerOptions options = Options(&source);
  options.batch_size = 5;  // Less than K.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(config, options));
  for (int64_t step = 0; step < 100; ++step) {
    while (planner->next_plan() <= step + 2) PROTOPAGE_ASSERT_OK(planner->Plan());
    const StepPlan& plan = planner->pending().front();
    ASSERT_EQ(plan.classes.size(), 9u);
    ASSERT_EQ(plan.samples.size(), 5u);
    for (int b = 0; b < 5; ++b) {
      if (b < 3) {
        ASSERT_EQ(plan.samples[b].slot, plan.positive_slots[b]);
      } else {
        ASSERT_THAT(plan.positive_slots, ::testing::Contains(plan.samples[b].slot));
      }
    }
    PROTOPAGE_ASSERT_OK(planner->Apply(step, {}));
  }
}

TEST(StepPlanner, NeverDrawsDroppedClassesNorPositivesWithoutImages) {
  for (const std::string images_for : {"all", "positives"}) {
    for (const std::string& mode : SelectionModeNames()) {
      LearningSource source;
      SelectionConfig config = kConfig;
      config.mode = mode;
      config.images_for = images_for;
      config.look_ahead = 0;
      StepPlannerOptions options = Options(&source);
      options.batch_size = 100;
      options.is_dropped = [](ClassId id) { return id % 5 == 0; };
      options.num_images = [](ClassId id) { return id % 3 == 0 ? 0 : 2; };
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(config, options));
      bool some_without_images = false;
      for (int64_t step = 0; step < 100; ++step) {
        PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StepPlan* plan, planner->Plan());
        for (const ClassId id : plan->classes) {
          ASSERT_NE(id % 5, 0) << id;
          some_without_images |= id % 3 == 0;
        }
        for (const PlannedSample& sample : plan->samples) {
          ASSERT_NE(plan->classes[sample.slot] % 3, 0);
        }
        for (const int32_t slot : plan->positive_slots) ASSERT_NE(plan->classes[slot] % 3, 0);
        PROTOPAGE_ASSERT_OK(planner->Apply(step, {}));
      }
      EXPECT_EQ(some_without_images, images_for == "positives") << mode;
    }
  }
}

TEST(StepPlanner, AlternatesApplyAndPlanWithTheDelay) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  RunSteps(*planner, 4);
  EXPECT_THAT(source.log, ElementsAre("plan 0", "plan 1", "plan 2", "apply", "plan 3", "apply",
                                      "plan 4", "apply", "plan 5", "apply"));
}

TEST(StepPlanner, RefusesAnyOtherOrder) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  EXPECT_THAT(planner->Apply(0, {}), StatusIs(kFailedPrecondition, "no plan is pending"));
  for (int i = 0; i < 3; ++i) PROTOPAGE_ASSERT_OK(planner->Plan());
  EXPECT_THAT(planner->Plan(), StatusIs(kFailedPrecondition,
                                        "step 3 must be planned when exactly the steps before "
                                        "1 have been applied, but those before 0 have been"));
  EXPECT_THAT(planner->Apply(1, {}),
              StatusIs(kFailedPrecondition, "the oldest pending plan is of step 0"));
  PROTOPAGE_ASSERT_OK(planner->Apply(0, {}));
  EXPECT_THAT(planner->Apply(0, {}), StatusIs(kFailedPrecondition, "of step 1"));
  // Step 1 is applied before step 3 is planned: allowed, for the end of a stage, but then
  // step 3 would see queues that are too new.
  PROTOPAGE_ASSERT_OK(planner->Apply(1, {}));
  EXPECT_THAT(planner->Plan(), StatusIs(kFailedPrecondition, "step 3 must be planned"));
  PROTOPAGE_ASSERT_OK(planner->Apply(2, {}));
  EXPECT_THAT(planner->pending(), IsEmpty());
}

TEST(StepPlanner, ApplyRefusesPredictionsThatDoNotFitAndKeepsThePlan) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  PROTOPAGE_ASSERT_OK(planner->Plan());
  std::vector<int32_t> predicted(19, 0);
  EXPECT_THAT(planner->Apply(0, predicted),
              StatusIs(kInvalidArgument, "19 predicted slots given for 20 samples"));
  predicted.push_back(9);
  EXPECT_THAT(planner->Apply(0, predicted),
              StatusIs(kInvalidArgument, "predicted slot 9 of sample 19 is outside [0, 9)"));
  predicted.back() = 8;
  source.apply_error = absl::DataLossError("queues.h5");
  EXPECT_THAT(planner->Apply(0, predicted), StatusIs(kDataLoss, "queues.h5"));
  EXPECT_EQ(planner->pending().size(), 1u);
  source.apply_error = absl::OkStatus();
  PROTOPAGE_EXPECT_OK(planner->Apply(0, predicted));
}

TEST(StepPlanner, MistakesReachTheQueuesOfTheirClasses) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StepPlan* plan, planner->Plan());
  const std::vector<ClassId> classes = plan->classes;
  // Every sample of slot 2 is taken for slot 7, the others are right.
  std::vector<int32_t> predicted;
  for (const PlannedSample& sample : plan->samples) {
    predicted.push_back(sample.slot == 2 ? 7 : sample.slot);
  }
  PROTOPAGE_ASSERT_OK(planner->Apply(0, predicted));
  EXPECT_EQ(source.queues[classes[2]].front(), classes[7]);
}

TEST(StepPlanner, ARunIsAFunctionOfConfigAndSeed) {
  LearningSource a, b, c, d;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_a, StepPlanner::Create(kConfig, Options(&a)));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_b, StepPlanner::Create(kConfig, Options(&b)));
  const std::vector<std::string> plans = RunSteps(*planner_a, 40);
  EXPECT_EQ(RunSteps(*planner_b, 40), plans);
  EXPECT_EQ(std::set<std::string>(plans.begin(), plans.end()).size(), 40u);

  StepPlannerOptions other_seed = Options(&c);
  other_seed.seed = 2;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_c, StepPlanner::Create(kConfig, other_seed));
  EXPECT_NE(RunSteps(*planner_c, 40), plans);

  // The delay is part of the meaning: the queues learn, so another L gives another run.
  SelectionConfig other_delay = kConfig;
  other_delay.look_ahead = 0;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_d, StepPlanner::Create(other_delay, Options(&d)));
  const std::vector<std::string> plans_d = RunSteps(*planner_d, 40);
  EXPECT_EQ(plans_d[0], plans[0]);
  EXPECT_NE(plans_d, plans);
}

TEST(StepPlanner, WithFrozenQueuesTheDelayChangesNothing) {
  std::vector<std::vector<std::string>> plans;
  for (const int64_t look_ahead : {0, 8}) {
    LearningSource source;
    SelectionConfig config = kConfig;
    config.look_ahead = look_ahead;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(config, Options(&source)));
    plans.emplace_back();
    for (int64_t step = 0; step < 40; ++step) {
      while (planner->next_plan() <= step + look_ahead) PROTOPAGE_ASSERT_OK(planner->Plan());
      plans.back().push_back(Text(planner->pending().front()));
      PROTOPAGE_ASSERT_OK(planner->Apply(step, {}));  // Teaches nothing.
    }
  }
  EXPECT_EQ(plans[0], plans[1]);
}

TEST(StepPlanner, StepsMeanTheSameFromAnyFirstStep) {
  LearningSource a, b;
  SelectionConfig config = kConfig;
  config.mode = "random";
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_a, StepPlanner::Create(config, Options(&a)));
  StepPlannerOptions later = Options(&b);
  later.first_step = 10;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner_b, StepPlanner::Create(config, later));
  const std::vector<std::string> plans_a = RunSteps(*planner_a, 20);
  EXPECT_EQ(RunSteps(*planner_b, 10),
            std::vector<std::string>(plans_a.begin() + 10, plans_a.end()));
}

TEST(StepPlanner, GoesOnFromASavedStateAsIfNothingHappened) {
  LearningSource uninterrupted;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto whole, StepPlanner::Create(kConfig, Options(&uninterrupted)));
  const std::vector<std::string> plans = RunSteps(*whole, 30);
  for (const int64_t steps : {0, 1, 2, 3, 17}) {
    LearningSource source;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto before, StepPlanner::Create(kConfig, Options(&source)));
    RunSteps(*before, steps);
    const std::string saved = before->SaveState().dump();

    LearningSource copy;
    copy.queues = source.queues;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto after, StepPlanner::Create(kConfig, Options(&copy)));
    PROTOPAGE_ASSERT_OK(after->RestoreState(nlohmann::json::parse(saved)));
    EXPECT_EQ(after->next_plan(), before->next_plan());
    EXPECT_EQ(after->next_apply(), steps);
    EXPECT_EQ(RunSteps(*after, 30 - steps),
              std::vector<std::string>(plans.begin() + steps, plans.end()));
  }
}

TEST(StepPlanner, RefusesAStateThatIsNotItsOwn) {
  LearningSource source;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(kConfig, Options(&source)));
  RunSteps(*planner, 5);
  const nlohmann::json good = planner->SaveState();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto other, StepPlanner::Create(kConfig, Options(&source)));
  const auto restore = [&](absl::string_view pointer, const nlohmann::json& value) {
    nlohmann::json bad = good;
    bad[nlohmann::json::json_pointer(std::string(pointer))] = value;
    return other->RestoreState(bad);
  };
  EXPECT_THAT(other->RestoreState(nlohmann::json::array()), StatusIs(kDataLoss, "planner state"));
  EXPECT_THAT(restore("/next_apply", "five"), StatusIs(kDataLoss, "planner state"));
  EXPECT_THAT(restore("/pending/0/classes", 3), StatusIs(kDataLoss, "planner state"));
  EXPECT_THAT(restore("/next_apply", -1), StatusIs(kDataLoss, "next_apply -1"));
  EXPECT_THAT(restore("/next_apply", 6), StatusIs(kDataLoss, "a plan of step 5 in the place of 6"));
  EXPECT_THAT(restore("/look_ahead", 3), StatusIs(kDataLoss, "look_ahead 3"));
  EXPECT_THAT(restore("/pending/1/classes/0", 200), StatusIs(kDataLoss, "has class 200"));
  EXPECT_THAT(restore("/pending/1/positive_slots/0", 9), StatusIs(kDataLoss, "no slot 9"));
  EXPECT_THAT(restore("/pending/1/sample_slots/0", -1), StatusIs(kDataLoss, "no slot -1"));
  EXPECT_THAT(restore("/pending/1/sample_images/0", 4), StatusIs(kDataLoss, "no image 4"));
  EXPECT_THAT(restore("/pending/1/sample_images", std::vector<int>{0}),
              StatusIs(kDataLoss, "9 classes and 1 samples, not 9 and 20"));
  EXPECT_EQ(other->next_plan(), 0);
  EXPECT_THAT(other->pending(), IsEmpty());
  PROTOPAGE_EXPECT_OK(other->RestoreState(good));
}

TEST(StepPlanner, RefusesConfigsThatCannotWork) {
  LearningSource source;
  StepPlannerOptions options = Options(&source);
  options.batch_size = 8;
  EXPECT_THAT(StepPlanner::Create(kConfig, options),
              StatusIs(kInvalidArgument, "the batch size is 8"));
  options = Options(&source);
  options.num_images = [](ClassId id) { return id < 8 ? 1 : 0; };
  EXPECT_THAT(StepPlanner::Create(kConfig, options),
              StatusIs(kInvalidArgument, "selection.classes_per_step is 9"));
  options.num_images = [](ClassId id) { return id < 2 ? 1 : 0; };
  SelectionConfig config = kConfig;
  config.images_for = "positives";
  EXPECT_THAT(StepPlanner::Create(config, options),
              StatusIs(kInvalidArgument, "the number of classes with images, 2"));
  EXPECT_THAT(StepPlanner::Create(kConfig, Options(nullptr)),
              StatusIs(kInvalidArgument, "needs a source"));
}

TEST(StepPlanner, FullTakesAllClassesEveryStep) {
  SelectionConfig config = kConfig;
  config.mode = "full";
  StepPlannerOptions options = Options(nullptr);
  options.num_classes = 7;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto planner, StepPlanner::Create(config, options));
  EXPECT_EQ(planner->active_classes(), 7);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const StepPlan* plan, planner->Plan());
  EXPECT_THAT(plan->classes, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  PROTOPAGE_EXPECT_OK(planner->Apply(0, Predict(*plan)));
}

}  // namespace
}  // namespace protopage
