#include "protopage/trainer/configs/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/json_text.h"
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

// What stands for another key's value gets that value, once, and a config.json says the same again.
TEST(TrainConfigTest, ValidationLeavesNoDefaultOfSomethingElse) {
  const nlohmann::json json = ParseJson(R"({
      "data": {"type": "folder", "image_size": 40, "augment": {"noise": 0.25}},
      "model": {"dropout": 0.125}, "loss": {"name": "arcface"},
      "stages": [{"name": "source", "steps": 1, "margin": 0.75}, {"name": "evaluate"},
                 {"name": "imprint"}, {"name": "dominant", "steps": 1, "dropout": 0.5},
                 {"name": "evaluate"}]})",
                                        "test")
                                  .value();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(TrainConfig config, ReadTrainConfig(json, {}, "test"));
  EXPECT_EQ(config.data.channels, 3);
  EXPECT_EQ(config.data.augment.flip, 0.5);
  EXPECT_EQ(config.data.augment.pad_crop, 5);
  EXPECT_EQ(config.data.augment.rotate, 0);
  EXPECT_EQ(config.data.augment.noise, 0.25);
  EXPECT_EQ(config.stages[0].split, "source_train");
  EXPECT_EQ(config.stages[1].split, "source_test");
  EXPECT_EQ(config.stages[2].split, "target_train");
  EXPECT_EQ(config.stages[4].split, "target_test");
  EXPECT_EQ(config.stages[0].margin, 0.75);
  EXPECT_EQ(config.stages[3].margin, config.loss.margin);
  EXPECT_EQ(config.stages[0].dropout, 0.125);
  EXPECT_EQ(config.stages[3].dropout, 0.5);
  const nlohmann::ordered_json resolved = WriteConfig(config);
  // The keys that the other stages do not read stay at what says nothing.
  const nlohmann::json flat = nlohmann::json(resolved).flatten();
  for (const auto& [pointer, value] : flat.items()) {
    const bool unread = absl::StartsWith(pointer, "/stages/1/") ||
                        absl::StartsWith(pointer, "/stages/2/") ||
                        absl::StartsWith(pointer, "/stages/4/");
    EXPECT_TRUE(unread || value != -1) << pointer;
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(TrainConfig again,
                                 ReadTrainConfig(nlohmann::json(resolved), {}, "test"));
  EXPECT_EQ(WriteConfig(again), resolved);
}

TEST(TrainConfigTest, NumbersBeyondAllMeasureAreRefused) {
  const nlohmann::json json =
      ParseJson(R"({"stages": [{"name": "dominant", "steps": 1}]})", "test").value();
  const struct {
    std::vector<std::string> set;
    const char* message;
  } kCases[] = {
      {{"stages[0].epochs=1e17", "stages[0].steps=0"}, "stages[0].epochs: found 1e+17"},
      {{"stages[0].steps=9000000000000000000"}, "stages[0].steps: found 9000000000000000000"},
      {{"stages[0].steps=1e17"}, "stages[0].steps: found 1e+17"},
      {{"stages[0].schedule.warmup_steps=1e18"}, "warmup_steps: found 1e+18"},
      {{"keep_checkpoints=9000000000000000000"}, "keep_checkpoints: found 9000000000000000000"},
      {{"checkpoint_every_steps=1e18"}, "checkpoint_every_steps: found 1e+18"},
      {{"checkpoint_every_minutes=1e300"}, "checkpoint_every_minutes: found 1e+300"},
      {{"prototypes.cache_bytes=9e18"}, "prototypes.cache_bytes: found 9e+18"},
      {{"prototypes.index_bytes=9e18"}, "prototypes.index_bytes: found 9e+18"},
      {{"prototypes.index_lists=9e18"}, "prototypes.index_lists: found 9e+18"},
      {{"selection.candidate_refresh_steps=9e18"}, "candidate_refresh_steps: found 9e+18"},
      {{"seed=18446744073709551615"}, "seed: found 18446744073709551615"},
  };
  for (const auto& c : kCases) {
    EXPECT_THAT(ReadTrainConfig(json, c.set, "test"),
                StatusIs(absl::StatusCode::kInvalidArgument, c.message));
  }
}

}  // namespace
}  // namespace protopage
