#include "protopage/trainer/verbs/run_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/verbs/run_plan_report.h"

namespace protopage {
namespace {

constexpr char kConfig[] = R"({
  "data": {"type": "synthetic", "image_size": 20, "synthetic": {"target_classes": 6000}},
  "model": {"embedding_dim": 16, "dropout": 0},
  "threads": 2,
  "selection": {"classes_per_step": 24, "positive_classes": 8, "dominant_queue": 3,
                "candidate_queue": 5, "images_for": "positives", "look_ahead": 1},
  "prototypes": {"cache_bytes": 1048576, "index": "ivf_sq8", "index_lists": 12, "index_candidates": 1.5},
  "stages": [{"name": "dominant", "steps": 5, "batch_size": 8}]
})";

TrainConfig Config(const std::vector<std::string>& set = {}) {
  nlohmann::json json = ParseJson(kConfig, "test").value();
  for (const std::string& assignment : set) PROTOPAGE_EXPECT_OK(SetJsonValue(assignment, json));
  TrainConfig config;
  PROTOPAGE_EXPECT_OK(ReadConfig(json, "", config));
  PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
  return config;
}

int64_t SizeOf(const std::string& path) {
  const auto file = DefaultFileSystem()->Open(path, OpenMode::kRead);
  PROTOPAGE_EXPECT_OK(file.status());
  return (*file)->Size().value();
}

// `planned` within 15 % of `real`.
void ExpectClose(int64_t planned, int64_t real, const char* what) {
  EXPECT_NEAR(static_cast<double>(planned), static_cast<double>(real), 0.15 * real) << what;
}

TEST(RunPlanTest, BytesAreThoseOfTheRun) {
  const std::string scratch = absl::StrCat(testing::TempDir(), "/run_plan_test_tmp_", getpid());
  PROTOPAGE_ASSERT_OK(DefaultFileSystem()->CreateDirectories(scratch));
  ASSERT_EQ(setenv("TMPDIR", scratch.c_str(), 1), 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunPlan plan, PlanRun(Config(), {}));
  ASSERT_EQ(plan.stages.size(), 1u);
  const StagePlan& stage = plan.stages[0];
  EXPECT_EQ(stage.num_classes, 6000);
  EXPECT_EQ(stage.active_classes, 24);
  EXPECT_EQ(stage.steps, 5);
  EXPECT_EQ(stage.image_bytes, 8 * 20 * 20 * 3);
  EXPECT_EQ(stage.index_kind, "ivf_sq8");
  EXPECT_EQ(stage.candidate_rows, 8 * 5 * 3 / 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunPlan by_codes,
                                 PlanRun(Config({"prototypes.index_candidates=0"}), {}));
  EXPECT_EQ(by_codes.stages[0].candidate_rows, 0);
  EXPECT_EQ(stage.candidate_bytes_read, stage.candidate_rows * 16 * 4);
  EXPECT_GT(stage.step_seconds, 0);
  EXPECT_GT(stage.image_seconds, 0);
  EXPECT_EQ(stage.bottleneck, "compute");
  EXPECT_TRUE(plan.warnings.empty()) << plan.warnings[0];

  const std::string run = absl::StrCat(testing::TempDir(), "/run_plan_test_", getpid());
  TrainOptions options;
  options.directory = run;
  PROTOPAGE_ASSERT_OK(Train(Config(), options).status());
  ExpectClose(stage.table_bytes, SizeOf(run + "/prototypes.h5") + SizeOf(run + "/queues.h5"),
              "tables");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory directory,
                                 RunDirectory::Open(DefaultFileSystem(), run));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string checkpoint, directory.LatestCheckpoint());
  // The last checkpoint, at the stage's end, has no optimizer any more.
  const int64_t index = SizeOf(checkpoint + "/index.bin");
  ExpectClose(stage.index_memory, index, "index");
  EXPECT_GE(stage.checkpoint_bytes, SizeOf(checkpoint + "/model.h5") + index * 85 / 100);
  EXPECT_LE(stage.checkpoint_bytes, 3 * SizeOf(checkpoint + "/model.h5") + index * 115 / 100);
  // Nothing is left of the rehearsals.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, DefaultFileSystem()->List(scratch));
  EXPECT_TRUE(names.empty()) << names[0];
}

// With one thread: of several, each that gets a task needs scratch memory.
TEST(RunPlanTest, MemoryAndDiskGrowAsTheConfigSays) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunPlan small, PlanRun(Config({"threads=1"}), {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const RunPlan large, PlanRun(Config({"threads=1", "data.synthetic.target_classes=60000000",
                                           "prototypes.index_bytes=100000000000",
                                           "prototypes.cache_bytes=1000000000000"}),
                                   {}));
  EXPECT_EQ(large.stages[0].class_bytes, small.stages[0].class_bytes);
  EXPECT_EQ(large.stages[0].table_bytes, 10000 * small.stages[0].table_bytes);
  // A cache takes no more than the table.
  EXPECT_EQ(small.stages[0].row_cache, std::min<int64_t>(1 << 20, small.stages[0].table_bytes));
  EXPECT_EQ(large.stages[0].row_cache, large.stages[0].table_bytes);
  EXPECT_NEAR(large.stages[0].model_memory, small.stages[0].model_memory,
              0.01 * small.stages[0].model_memory);
  EXPECT_GT(large.stages[0].index_memory, 60000000 * 16);
}

TEST(RunPlanTest, TellsWhatARunWouldWaitFor) {
  // A table that no cache holds, on a disk that hardly turns.
  RunPlanOptions options;
  options.reads_per_second = 10;
  options.page_cache_bytes = 1 << 20;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const RunPlan plan,
      PlanRun(Config({"data.synthetic.target_classes=1000000", "selection.mode=random"}), options));
  EXPECT_EQ(plan.stages[0].bottleneck, "rows");
  EXPECT_EQ(plan.stages[0].index_kind, "");
  EXPECT_EQ(plan.stages[0].candidate_rows, 0);
  // Almost all of three reads for each of 24 classes.
  EXPECT_NEAR(plan.stages[0].row_seconds, 7.2, 0.3);
  EXPECT_NE(FormatRunPlan(plan).find("bottleneck"), std::string::npos);
  EXPECT_EQ(ToJson(plan)["stages"][0]["bottleneck"], "rows");
}

TEST(RunPlanTest, WarnsOfACacheTooSmallForTheStepsAhead) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const RunPlan plan,
      PlanRun(Config({"selection.classes_per_step=1000", "selection.look_ahead=20"}), {}));
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_TRUE(absl::StrContains(plan.warnings[0], "prototypes.cache_bytes holds about"))
      << plan.warnings[0];
}

TEST(RunPlanTest, AnIndexThatDoesNotFitIsTheErrorOfTraining) {
  EXPECT_THAT(PlanRun(Config({"data.synthetic.target_classes=1000000", "prototypes.index=auto",
                              "prototypes.index_bytes=1048576", "prototypes.index_lists=0"}),
                      {}),
              StatusIs(absl::StatusCode::kResourceExhausted, "index_bytes allows 1048576"));
}

}  // namespace
}  // namespace protopage
