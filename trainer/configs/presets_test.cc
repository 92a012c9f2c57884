#include "protopage/trainer/configs/presets.h"

#include <gtest/gtest.h>

#include "protopage/base/config_fields.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {
namespace {

TEST(PresetsTest, EveryPresetIsAValidConfig) {
  for (const absl::string_view text : {CifarPreset(), CifarDemoPreset(), GlyphsPreset()}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const nlohmann::json json, ParseJson(text, "preset"));
    TrainConfig config;
    PROTOPAGE_ASSERT_OK(ReadConfig(json, "", config)) << text;
    PROTOPAGE_EXPECT_OK(ValidateConfig(&config)) << text;
    EXPECT_EQ(config.stages.size(), 6u);
  }
}

TEST(PresetsTest, TheDemosSettings) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const nlohmann::json json, ParseJson(CifarDemoPreset(), "preset"));
  TrainConfig config;
  PROTOPAGE_ASSERT_OK(ReadConfig(json, "", config));
  EXPECT_EQ(config.loss.scale, 24);
  EXPECT_EQ(config.loss.margin, 0.2);
  EXPECT_EQ(config.selection.classes_per_step, 30);
  EXPECT_EQ(config.selection.positive_classes, 10);
  EXPECT_EQ(config.selection.dominant_queue, 20);
  EXPECT_EQ(config.selection.candidate_queue, 50);
  EXPECT_EQ(config.stages[4].batch_size, 256);
  EXPECT_EQ(config.stages[4].epochs, 200);
  EXPECT_EQ(config.stages[4].optimizer.learning_rate, 0.2);
}

}  // namespace
}  // namespace protopage
