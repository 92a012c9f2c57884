#include "protopage/trainer/observers/metrics_writer.h"

#include "absl/strings/str_split.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/testing/crash_file_system.h"

namespace protopage {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class MetricsWriterTest : public testing::Test {
 protected:
  MetricsWriterTest() {
    path_ = JoinPath(
        testing::TempDir(),
        std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) + ".jsonl");
    const absl::Status removed = fs_->Remove(path_);
    EXPECT_TRUE(removed.ok() || absl::IsNotFound(removed)) << removed;
  }

  std::string Content() {
    const absl::StatusOr<std::string> content = ReadFile(fs_, path_);
    PROTOPAGE_EXPECT_OK(content);
    return content.value_or("");
  }

  // "step 3", "checkpoint 4", ...
  std::vector<std::string> Kinds() {
    const auto lines = ReadMetrics(fs_, path_);
    PROTOPAGE_EXPECT_OK(lines);
    std::vector<std::string> kinds;
    if (!lines.ok()) return kinds;
    for (const Json& line : *lines) {
      kinds.push_back(line["kind"].get<std::string>() + " " +
                      std::to_string(line["step"].get<int64_t>()));
    }
    return kinds;
  }

  static StepReport Step(int64_t step, int stage_index = 0) {
    StepReport report;
    report.stage = "source";
    report.stage_index = stage_index;
    report.step = step;
    report.stage_step = step;
    report.loss = 1.0 / static_cast<double>(step);
    return report;
  }
  static CheckpointReport Checkpoint(int64_t step, int stage_index = 0) {
    CheckpointReport report;
    report.stage = "source";
    report.stage_index = stage_index;
    report.step = step;
    report.path = "checkpoints/1";
    return report;
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string path_;
};

TEST_F(MetricsWriterTest, WritesOneObjectALine) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
  StageReport stage;
  stage.stage = "source";
  stage.kind = "train";
  stage.stage_steps = 2;
  PROTOPAGE_ASSERT_OK(writer->OnStageStart(stage));
  StepReport step = Step(2);
  step.epoch = 1;
  step.images = 64;
  PROTOPAGE_ASSERT_OK(writer->OnStep(step));
  EpochReport epoch;
  epoch.stage = "source";
  epoch.step = 2;
  epoch.epoch = 1;
  epoch.accuracy = 0.5;
  PROTOPAGE_ASSERT_OK(writer->OnEpochEnd(epoch));
  EvaluationReport evaluation;
  evaluation.stage = "source";
  evaluation.step = 2;
  evaluation.results["pairs"] = 12;
  evaluation.scalars = {{"top1", 0.25}};
  PROTOPAGE_ASSERT_OK(writer->OnEvaluation(evaluation));
  PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2)));
  stage.step = 2;
  stage.seconds = 1.5;
  PROTOPAGE_ASSERT_OK(writer->OnStageEnd(stage));
  EXPECT_EQ(
      Content(),
      R"({"kind":"stage_start","stage":"source","stage_index":0,"step":0,"stage_kind":"train","num_stages":1,"stage_step":0,"stage_steps":2,"steps_per_epoch":0}
{"kind":"step","stage":"source","stage_index":0,"step":2,"stage_step":2,"stage_steps":0,"epoch":1,"images":64,"loss":0.5,"rows_paged":0,"skipped_steps":0}
{"kind":"epoch","stage":"source","stage_index":0,"step":2,"epoch":1,"accuracy":0.5}
{"kind":"evaluation","stage":"source","stage_index":0,"step":2,"scalars":{"top1":0.25},"results":{"pairs":12}}
{"kind":"checkpoint","stage":"source","stage_index":0,"step":2,"path":"checkpoints/1"}
{"kind":"stage_end","stage":"source","stage_index":0,"step":2,"stage_kind":"train","num_stages":1,"stage_step":0,"stage_steps":2,"steps_per_epoch":0,"seconds":1.5}
)");
}

TEST_F(MetricsWriterTest, EachLineIsInTheFileWhenTheCallReturns) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
  for (int step = 1; step <= 3; ++step) {
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(step)));
    EXPECT_THAT(Kinds(), SizeIs(step));
  }
}

TEST_F(MetricsWriterTest, ResumeDropsTheLinesAfterTheCheckpoint) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(1)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(3)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(4)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(4)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(5)));
  }
  const std::string before = Content();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(fs_, path_, 0, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 2", "checkpoint 2"));
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(3)));
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(4)));
  PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(4)));
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(5)));
  EXPECT_EQ(Content(), before);
}

TEST_F(MetricsWriterTest, ResumeDropsAnEvaluationOfTheSameStepAfterIt) {
  EvaluationReport evaluation;
  evaluation.stage_index = 0;
  evaluation.step = 2;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2)));
    PROTOPAGE_ASSERT_OK(writer->OnEvaluation(evaluation));
    evaluation.stage_index = 1;
    PROTOPAGE_ASSERT_OK(writer->OnEvaluation(evaluation));
  }
  PROTOPAGE_ASSERT_OK(MetricsWriter::Resume(fs_, path_, 0, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "checkpoint 2", "checkpoint 2"));
}

TEST_F(MetricsWriterTest, ResumeWithoutTheCheckpointsLineKeepsItsSteps) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(1)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
  }
  PROTOPAGE_ASSERT_OK(MetricsWriter::Resume(fs_, path_, 0, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 2"));
}

// A run was killed between the checkpoint and its line, resumed, and killed again.
TEST_F(MetricsWriterTest, ResumeTwiceWithoutTheCheckpointsLineStartsTheStageOnce) {
  StageReport start;
  start.stage_index = 1;
  start.step = 2;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
    PROTOPAGE_ASSERT_OK(writer->OnStageStart(start));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(3, 1)));
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(fs_, path_, 1, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2"));
  PROTOPAGE_ASSERT_OK(writer->OnStageStart(start));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "stage_start 2"));
}

TEST_F(MetricsWriterTest, ResumeMakesLinesDurableWhoseSyncHasFailed) {
  CrashFileSystem disk;
  const std::string path = "/metrics.jsonl";
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(&disk, path));
    PROTOPAGE_ASSERT_OK(disk.SyncDirectory("/"));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
    disk.FailSyncAt(1);
    EXPECT_FALSE(writer->OnCheckpoint(Checkpoint(2)).ok());
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(&disk, path, 0, 2));
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(3)));
  PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(3)));
  disk.Restart(CrashFileSystem::kDropAll, 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto lines, ReadMetrics(&disk, path));
  EXPECT_THAT(lines, SizeIs(4));
}

TEST_F(MetricsWriterTest, ResumeInAnEarlierStageDropsTheLaterOne) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2, 0)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2, 0)));
    PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(2, 1)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(3, 2)));
  }
  PROTOPAGE_ASSERT_OK(MetricsWriter::Resume(fs_, path_, 1, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "checkpoint 2", "checkpoint 2"));
  PROTOPAGE_ASSERT_OK(MetricsWriter::Resume(fs_, path_, 0, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "checkpoint 2"));
}

TEST_F(MetricsWriterTest, ResumeDropsATornLastLine) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(1)));
  }
  const std::string whole = Content();
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, whole + "{\"kind\":\"st"));
  EXPECT_THAT(Kinds(), ElementsAre("step 1"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(fs_, path_, 0, 9));
  EXPECT_EQ(Content(), whole);
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(10)));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 10"));
}

TEST_F(MetricsWriterTest, ResumeCreatesAMissingFile) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(fs_, path_, 0, 9));
  EXPECT_THAT(Kinds(), IsEmpty());
}

TEST_F(MetricsWriterTest, AForeignFileIsNamedWithItsLine) {
  const std::string foreign = "{\"kind\":\"step\",\"stage_index\":0,\"step\":1}\nhello\n";
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, foreign));
  EXPECT_THAT(MetricsWriter::Resume(fs_, path_, 0, 9),
              StatusIs(absl::StatusCode::kDataLoss, path_ + " line 2"));
  EXPECT_THAT(ReadMetrics(fs_, path_), StatusIs(absl::StatusCode::kDataLoss, "found hello"));
  EXPECT_EQ(Content(), foreign);
}

TEST_F(MetricsWriterTest, LeavesOutWhatIsNotFiniteAndRepairsBadUtf8) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
  StepReport step = Step(1);
  step.loss = std::numeric_limits<double>::infinity();
  step.stage = "caf\xe9";
  PROTOPAGE_ASSERT_OK(writer->OnStep(step));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto lines, ReadMetrics(fs_, path_));
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_FALSE(lines[0].contains("loss"));
  EXPECT_EQ(lines[0]["stage"], "caf\xef\xbf\xbd");
}

TEST_F(MetricsWriterTest, AFullDiskIsAnError) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, "/dev/full"));
  EXPECT_THAT(writer->OnStep(Step(1)), StatusIs(absl::StatusCode::kResourceExhausted, "/dev/full"));
}

TEST_F(MetricsWriterTest, AnUnwritablePlaceIsAnError) {
  EXPECT_THAT(MetricsWriter::Create(fs_, JoinPath(path_, "inside/metrics.jsonl")),
              StatusIs(absl::StatusCode::kNotFound, path_));
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(fs, "run/metrics.jsonl"));
  PROTOPAGE_RETURN_IF_ERROR(metrics->OnStep({.stage = "source", .step = 100}));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
