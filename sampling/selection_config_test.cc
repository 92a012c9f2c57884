#include "protopage/sampling/selection_config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/sampling/selection_modes.h"

namespace protopage {
namespace {

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(SelectionConfig, ReadsItsKeys) {
  SelectionConfig config;
  PROTOPAGE_ASSERT_OK(ReadConfig(nlohmann::json::parse(R"({"mode": "random", "classes_per_step": 31,
      "positive_classes": 11, "dominant_queue": 21, "candidate_queue": 51,
      "images_for": "positives", "look_ahead": 5, "candidate_refresh_steps": 7})"),
                                 "selection", config));
  EXPECT_EQ(config.mode, "random");
  EXPECT_EQ(config.classes_per_step, 31);
  EXPECT_EQ(config.positive_classes, 11);
  EXPECT_EQ(config.dominant_queue, 21);
  EXPECT_EQ(config.candidate_queue, 51);
  EXPECT_EQ(config.images_for, "positives");
  EXPECT_EQ(config.look_ahead, 5);
  EXPECT_EQ(config.candidate_refresh_steps, 7);
}

TEST(SelectionConfig, RefusesWrongValuesByName) {
  SelectionConfig config;
  EXPECT_THAT(ReadConfig(nlohmann::json{{"mode", "dominnat"}}, "selection", config),
              StatusIs(kInvalidArgument, "selection.mode"));
  EXPECT_THAT(ReadConfig(nlohmann::json{{"look_ahead", -1}}, "selection", config),
              StatusIs(kInvalidArgument, "selection.look_ahead"));
  EXPECT_THAT(ReadConfig(nlohmann::json{{"images_for", "none"}}, "selection", config),
              StatusIs(kInvalidArgument, "selection.images_for"));
}

absl::Status Example(const nlohmann::json& json, int64_t num_classes, int64_t batch_size) {
  SelectionConfig config;
  PROTOPAGE_RETURN_IF_ERROR(ReadConfig(json, "selection", config));
  PROTOPAGE_RETURN_IF_ERROR(ValidateSelection(config, num_classes, batch_size));
  return absl::OkStatus();
}

TEST(SelectionConfig, TheExampleOfTheHeader) {
  PROTOPAGE_EXPECT_OK(Example({{"mode", "mixed"}}, 100, 256));
  EXPECT_THAT(Example({{"mode", "mixed"}}, 100, 20),
              StatusIs(kInvalidArgument, "batch size is 20"));
}

TEST(SelectionConfig, ItsHelpNamesEveryModeAndTheModesOfAKey) {
  SelectionConfig config;
  const std::string help = ConfigHelp(config);
  // Lines are wrapped: compare without white space.
  const auto has = [&](std::string text) {
    std::string all = help;
    for (std::string* each : {&all, &text}) {
      each->erase(std::remove_if(each->begin(), each->end(), absl::ascii_isspace), each->end());
    }
    return absl::StrContains(all, text);
  };
  for (const SelectionMode& mode : SelectionModes()) {
    EXPECT_TRUE(has(absl::StrCat(mode.name, " (", mode.help, ")"))) << help;
  }
  EXPECT_TRUE(has("promoted from, at least dominant_queue; modes dominant and mixed")) << help;
  EXPECT_TRUE(has("the rest is random; mode mixed")) << help;
}

TEST(ValidateSelection, AcceptsTheDefaultsOnTheDemo) {
  PROTOPAGE_EXPECT_OK(ValidateSelection({}, /*num_classes=*/100, /*batch_size=*/256));
  PROTOPAGE_EXPECT_OK(ValidateSelection({}, /*num_classes=*/30, /*batch_size=*/30));
}

TEST(ValidateSelection, NamesTheKeysThatDoNotFit) {
  EXPECT_THAT(ValidateSelection({}, 29, 256),
              StatusIs(kInvalidArgument, "selection.classes_per_step is 30"));
  EXPECT_THAT(ValidateSelection({.positive_classes = 31}, 100, 256),
              StatusIs(kInvalidArgument,
                       "selection.positive_classes is 31; it must be at most "
                       "selection.classes_per_step, 30"));
  EXPECT_THAT(ValidateSelection({.dominant_queue = 60}, 100, 256),
              StatusIs(kInvalidArgument,
                       "selection.candidate_queue is 50; it must be at least "
                       "selection.dominant_queue, 60"));
  EXPECT_THAT(ValidateSelection({}, 100, 29),
              StatusIs(kInvalidArgument, "the batch size is 29; with selection.images_for"));
  EXPECT_THAT(ValidateSelection({.images_for = "positives"}, 100, 9),
              StatusIs(kInvalidArgument, "selection.positive_classes, 10"));
}

TEST(ValidateSelection, FullTakesTheNumberOfClassesForK) {
  const SelectionConfig config = {.mode = "full", .classes_per_step = 1000};
  EXPECT_EQ(ActiveClasses(config, 100), 100);
  PROTOPAGE_EXPECT_OK(ValidateSelection(config, 100, 256));
  EXPECT_THAT(ValidateSelection(config, 300, 256), StatusIs(kInvalidArgument, "300"));
  EXPECT_THAT(ValidateSelection(config, 9, 256),
              StatusIs(kInvalidArgument, "selection.positive_classes is 10"));
}

TEST(ValidateSelection, OtherModesIgnoreTheQueues) {
  PROTOPAGE_EXPECT_OK(ValidateSelection({.mode = "random", .dominant_queue = 60}, 100, 256));
}

}  // namespace
}  // namespace protopage
