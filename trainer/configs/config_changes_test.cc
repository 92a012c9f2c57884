#include "protopage/trainer/configs/config_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

using ::testing::UnorderedElementsAre;

// Stages 0 to 4: source, evaluate, imprint, dominant, evaluate.
TrainConfig Config(const std::vector<std::string>& set = {}) {
  nlohmann::json json = ParseJson(R"({
      "data": {"type": "list", "paths": {"source_train": "a", "source_test": "b",
               "target_train": "c", "target_test": "d", "unseen": "e"}},
      "stages": [{"name": "source", "steps": 1}, {"name": "evaluate"}, {"name": "imprint"},
                 {"name": "dominant", "steps": 1}, {"name": "evaluate"}]})",
                                  "test")
                            .value();
  absl::StatusOr<TrainConfig> config = ReadTrainConfig(json, set, "test");
  PROTOPAGE_EXPECT_OK(config);
  return config.value_or(TrainConfig());
}

absl::Status Change(const std::string& set, int64_t begun) {
  return CheckConfigChanges(Config(), Config({set}), begun).status();
}

TEST(ConfigChangesTest, AKeyMayChangeUntilAStageUsesIt) {
  const struct {
    const char* set;
    int64_t used_by;  // The first stage that does.
  } kCases[] = {
      {"seed=2", 0},
      {"model.embedding_dim=8", 0},
      {"data.image_size=48", 0},
      {"data.type=folder", 0},
      {"data.validation_share=0.1", 0},
      {"init_from=x", 0},
      {"data.augment.flip=0.1", 0},
      {"loss.scale=3", 0},
      {"stages[0].steps=2", 0},
      {"stages[1].split=source_train", 1},
      {"stages[2].domain=id", 2},
      {"stages[3].steps=2", 3},
      {"stages[3].schedule.milestones=[1]", 3},
      {"stages[3].optimizer.learning_rate=0.5", 3},
      {"stages[4].split=target_train", 4},
      {"data.paths.source_train=x", 0},
      {"data.paths.source_test=x", 1},
      {"data.paths.target_train=x", 2},
      {"data.paths.target_test=x", 4},
      {"data.paths.unseen=x", 1},
      {"prototypes.dtype=float16", 2},
      {"prototypes.init_from=x", 2},
      {"prototypes.index=flat", 3},
      {"prototypes.index_bytes=2000000", 3},
      {"prototypes.reencode_below=0.5", 3},
      {"selection.classes_per_step=20", 3},
      {"selection.look_ahead=1", 3},
  };
  for (const auto& c : kCases) {
    for (int64_t begun = 0; begun <= 5; ++begun) {
      const absl::Status status = Change(c.set, begun);
      EXPECT_EQ(status.ok(), begun <= c.used_by) << c.set << ", " << begun << ": " << status;
      if (status.ok()) continue;
      const std::string key = std::string(c.set).substr(0, std::string(c.set).find('='));
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, key)) << status;
    }
  }
  // What imprinting alone does not use.
  TrainConfig before = Config(), after = Config({"loss.scale=3", "data.augment.flip=0"});
  for (TrainConfig* const config : {&before, &after}) {
    config->stages.erase(config->stages.begin(), config->stages.begin() + 2);
  }
  PROTOPAGE_EXPECT_OK(CheckConfigChanges(before, after, /*begun=*/1));
  EXPECT_FALSE(CheckConfigChanges(before, after, /*begun=*/2).ok());
}

TEST(ConfigChangesTest, SomeKeysMayAlwaysChange) {
  for (const char* set :
       {"threads=2", "loader_threads=2", "log_every_steps=1", "keep_checkpoints=9",
        "prototypes.cache_bytes=2000000", "data.check_images=false"}) {
    PROTOPAGE_EXPECT_OK(Change(set, 5)) << set;
  }
}

TEST(ConfigChangesTest, StagesThatHaveNotBegunMayComeAndGo) {
  const TrainConfig before = Config();
  TrainConfig after = before;
  after.stages.pop_back();
  PROTOPAGE_EXPECT_OK(CheckConfigChanges(before, after, 4));
  EXPECT_THAT(CheckConfigChanges(before, after, 5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "stages: found 4, expected at least the 5 that have begun"));
  after = before;
  after.stages.push_back(before.stages[3]);
  PROTOPAGE_EXPECT_OK(CheckConfigChanges(before, after, 5));
}

TEST(ConfigChangesTest, ChangesAreTold) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const auto changes,
      CheckConfigChanges(Config(), Config({"stages[3].steps=20", "data.paths.target_test=x"}), 2));
  EXPECT_EQ(FormatChanges(changes),
            "data.paths.target_test \"d\" -> \"x\", stages[3].steps 1 -> 20");
}

absl::Status Example(const TrainConfig& old_config, const TrainConfig& new_config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<FieldDifference> changes,
                             CheckConfigChanges(old_config, new_config, /*begun=*/2));
  return changes.empty() ? absl::OkStatus() : absl::InternalError("changes");
}

TEST(ConfigChangesTest, TheExampleOfTheHeader) { PROTOPAGE_EXPECT_OK(Example(Config(), Config())); }

}  // namespace
}  // namespace protopage
