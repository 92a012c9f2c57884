#include "protopage/trainer/configs/stage_specs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "protopage/base/config_fields.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {
namespace {

TEST(StageSpecsTest, TheExampleOfTheHeader) {
  const StageSpec* spec = FindStageSpec("imprint");
  const bool trains = spec->trains;                   // false
  const std::vector<std::string>& keys = spec->keys;  // {"name", "split", "domain"}

  EXPECT_FALSE(trains);
  EXPECT_EQ(keys, (std::vector<std::string>{"name", "split", "domain"}));
}

TEST(StageSpecsTest, NamesAreUniqueAndFound) {
  std::set<std::string> names;
  for (const StageSpec& spec : StageSpecs()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_EQ(FindStageSpec(spec.name), &spec);
  }
  EXPECT_EQ(FindStageSpec("tune"), nullptr);
  EXPECT_EQ(FindStageSpec(""), nullptr);
}

// A key that the config does not have could not be given, and its misspelling would go unnoticed.
TEST(StageSpecsTest, EveryKeyIsOneOfTheConfig) {
  StageConfig config;
  const nlohmann::ordered_json fields = WriteConfig(config);
  for (const StageSpec& spec : StageSpecs()) {
    for (const std::string& key : spec.keys) {
      EXPECT_TRUE(fields.contains(key)) << spec.name << ": " << key;
    }
  }
}

TEST(StageSpecsTest, WhatTrainsHasALengthAndWhatMakesAClassifierNamesIt) {
  for (const StageSpec& spec : StageSpecs()) {
    const bool has_length = std::count(spec.keys.begin(), spec.keys.end(), "steps") > 0;
    EXPECT_EQ(spec.trains, has_length) << spec.name;
    EXPECT_EQ(spec.makes.has_value(), !spec.evaluation_name.empty()) << spec.name;
  }
}

}  // namespace
}  // namespace protopage
