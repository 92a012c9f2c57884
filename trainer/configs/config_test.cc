#include "protopage/trainer/configs/config.h"

#include <gtest/gtest.h>

#include <string>

#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::Status Check(const std::string& text) {
  const absl::StatusOr<nlohmann::json> json = ParseJson(text, "test");
  if (!json.ok()) return json.status();
  TrainConfig config;
  const absl::Status status = ReadConfig(*json, "", config);
  return status.ok() ? ValidateConfig(&config) : status;
}

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(TrainConfigTest, StagesNeedOneLength) {
  PROTOPAGE_EXPECT_OK(Check(R"({"stages": [{"name": "source", "epochs": 1}]})"));
  PROTOPAGE_EXPECT_OK(Check(R"({"stages": [{"name": "dominant", "steps": 5}]})"));
  EXPECT_THAT(Check(R"({"stages": [{"name": "dominant"}]})"),
              StatusIs(kInvalid, "stages[0] (dominant): found epochs 0 and steps 0"));
  EXPECT_THAT(Check(R"({"stages": [{"name": "source", "epochs": 1, "steps": 1}]})"),
              StatusIs(kInvalid, "one of them above 0"));
  EXPECT_THAT(Check("{}"), StatusIs(kInvalid, "stages: found none"));
}

TEST(TrainConfigTest, MistakesAreNamed) {
  EXPECT_THAT(Check(R"({"stages": [{"name": "tune"}]})"),
              StatusIs(kInvalid, R"(stages[0].name: found "tune", expected one of "source")"));
  EXPECT_THAT(Check(R"({"stages": [{"name": "source", "epochs": 1, "split": "nowhere"}]})"),
              StatusIs(kInvalid, "stages[0].split"));
  EXPECT_THAT(Check(R"({"stagse": []})"), StatusIs(kInvalid, "did you mean stages?"));
  EXPECT_THAT(Check(R"({"loss": {"name": "softmax"}})"), StatusIs(kInvalid, "loss.name"));
  EXPECT_THAT(Check(R"({"stages": [{"name": "evaluate"}]})"),
              StatusIs(kInvalid, "nothing to evaluate"));
  EXPECT_THAT(Check(R"({"stages": [{"name": "dominant", "steps": 1,
                                     "rows": {"name": "adagrad"}}]})"),
              StatusIs(kInvalid, "stages[0].rows.name: found \"adagrad\""));
  PROTOPAGE_EXPECT_OK(Check(R"({"prototypes": {"row_state": "adagrad"},
                      "stages": [{"name": "dominant", "steps": 1, "rows": {"name": "adagrad"}}]})"));
}

// Such a key was meant for another stage, and would silently change nothing.
TEST(TrainConfigTest, AStageTakesTheKeysThatItUses) {
  const auto check = [](const std::string& keys) {
    return Check(R"({"stages": [{"name": "source", "epochs": 1}, {)" + keys + "}]}");
  };
  EXPECT_THAT(check(R"("name": "evaluate", "rows": {"learning_rate": 0.5})"),
              StatusIs(kInvalid,
                       "stages[1].rows.learning_rate: found 0.5, but rows is not an option of "
                       "stage \"evaluate\"; its options are: name, split"));
  EXPECT_THAT(check(R"("name": "imprint", "batch_size": 7)"),
              StatusIs(kInvalid, "stages[1].batch_size: found 7, but batch_size is not an option"));
  EXPECT_THAT(check(R"("name": "source", "epochs": 1, "rows": {"learning_rate": 0.5})"),
              StatusIs(kInvalid, "stages[1].rows.learning_rate"));
  EXPECT_THAT(check(R"("name": "dominant", "epochs": 1, "domain": "id")"),
              StatusIs(kInvalid, "stages[1].domain: found \"id\""));
  EXPECT_THAT(check(R"("name": "evaluate", "schedule": {"milestones": [0.5]})"),
              StatusIs(kInvalid, "stages[1].schedule.milestones.0: found 0.5"));
  PROTOPAGE_EXPECT_OK(check(R"("name": "imprint", "domain": "id", "split": "target_train")"));
  PROTOPAGE_EXPECT_OK(check(R"("name": "dominant", "epochs": 1, "train_net": false, "margin": 0.1,
                     "rows": {"learning_rate": 0.5}, "optimizer": {"learning_rate": 0.5})"));
  // As a run's config.json has it: defaults are no mistake.
  PROTOPAGE_EXPECT_OK(check(R"("name": "evaluate", "batch_size": 128, "domain": "")"));
}

TEST(TrainConfigTest, DefaultsOfTheLossAreWrittenOut) {
  TrainConfig config;
  config.stages.resize(1);
  config.stages[0].steps = 1;
  PROTOPAGE_ASSERT_OK(ValidateConfig(&config));
  EXPECT_EQ(config.loss.scale, 24);
  EXPECT_EQ(config.loss.margin, 0.2);
}

TEST(TrainConfigTest, ChangesAreAppliedBeforeTheConfigIsChecked) {
  const nlohmann::json json = {{"stages", {{{"name", "source"}, {"epochs", 1}}}}};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config,
                                 ReadTrainConfig(json, {"seed=7", "stages[0].epochs=2"}, "a.json"));
  EXPECT_EQ(config.seed, 7);
  EXPECT_EQ(config.stages[0].epochs, 2);
  EXPECT_GT(config.loss.scale, 0);  // Resolved.
  EXPECT_THAT(ReadTrainConfig(json, {"stages[0].steps=3"}, "a.json"),
              StatusIs(kInvalid, "a.json: stages[0] (source): found epochs 1 and steps 3"));
  EXPECT_THAT(ReadTrainConfig(json, {"sed=7"}, "a.json"),
              StatusIs(kInvalid, "a.json: unknown key sed; did you mean seed?"));
  EXPECT_THAT(ReadTrainConfig(json, {"seed"}, "a.json"), StatusIs(kInvalid, "--set seed"));
}

absl::Status ReadAndValidate(const nlohmann::json& json) {
  TrainConfig config;
  PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "", config));
  PROTOPAGE_RETURN_IF_ERROR(ValidateConfig(&config));
  return absl::OkStatus();
}

TEST(TrainConfigTest, TheExampleOfTheHeader) {
  PROTOPAGE_EXPECT_OK(ReadAndValidate({{"stages", {{{"name", "source"}, {"epochs", 1}}}}}));
  EXPECT_THAT(ReadAndValidate({{"stages", nlohmann::json::array()}}),
              StatusIs(kInvalid, "at least one of source, imprint, dominant, evaluate"));
}

}  // namespace
}  // namespace protopage
