#include "protopage/trainer/observers/metrics_writer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/sealed_json.h"
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

  // Without the seals, which all lines have.
  std::string Unsealed() {
    std::string text;
    for (const absl::string_view line : absl::StrSplit(Content(), '\n', absl::SkipEmpty())) {
      const auto plain = Unseal(absl::StrCat(line, "\n"), path_, SealRule::kRequired);
      PROTOPAGE_EXPECT_OK(plain);
      absl::StrAppend(&text, plain.value_or(""));
    }
    return text;
  }

  absl::StatusOr<std::unique_ptr<MetricsWriter>> ResumeAt(int stage_index, int64_t step,
                                                          int64_t bytes = -1) {
    MetricsPosition position;
    position.stage_index = stage_index;
    position.step = step;
    position.bytes = bytes;
    return MetricsWriter::Resume(fs_, path_, position);
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
      Unsealed(),
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, ResumeAt(0, 2));
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
  PROTOPAGE_ASSERT_OK(ResumeAt(0, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "checkpoint 2", "checkpoint 2"));
}

TEST_F(MetricsWriterTest, ResumeWithoutTheCheckpointsLineKeepsItsSteps) {
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(1)));
    PROTOPAGE_ASSERT_OK(writer->OnStep(Step(2)));
  }
  PROTOPAGE_ASSERT_OK(ResumeAt(0, 2));
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(fs_, path_, {1, 2}));
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Resume(&disk, path, {0, 2}));
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
  PROTOPAGE_ASSERT_OK(ResumeAt(1, 2));
  EXPECT_THAT(Kinds(), ElementsAre("step 2", "checkpoint 2", "checkpoint 2"));
  PROTOPAGE_ASSERT_OK(ResumeAt(0, 2));
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
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, ResumeAt(0, 9));
  EXPECT_EQ(Content(), whole);
  PROTOPAGE_ASSERT_OK(writer->OnStep(Step(10)));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 10"));
}

TEST_F(MetricsWriterTest, ResumeCreatesAMissingFile) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, ResumeAt(0, 9));
  EXPECT_THAT(Kinds(), IsEmpty());
}

TEST_F(MetricsWriterTest, AForeignLineIsNamedAndStays) {
  const std::string foreign = "{\"kind\":\"step\",\"stage_index\":0,\"step\":1}\nhello\n";
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, foreign));
  EXPECT_THAT(ReadMetrics(fs_, path_),
              StatusIs(absl::StatusCode::kDataLoss, path_ + " is damaged: line 2 cannot be read"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto writer, ResumeAt(0, 9));
  EXPECT_EQ(writer->damage(), path_ + " is damaged: line 2 cannot be read; what is there stays");
  EXPECT_EQ(Content(), foreign);
}

// A file of 8 lines: steps 1 to 3, a checkpoint after 3, steps 4 to 6, a checkpoint after 6.
class DamagedMetricsTest : public MetricsWriterTest {
 protected:
  void SetUp() override {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, MetricsWriter::Create(fs_, path_));
    for (int step = 1; step <= 6; ++step) {
      PROTOPAGE_ASSERT_OK(writer->OnStep(Step(step)));
      ends_.push_back(static_cast<int64_t>(Content().size()));
      if (step % 3 != 0) continue;
      PROTOPAGE_ASSERT_OK(writer->OnCheckpoint(Checkpoint(step)));
    }
    whole_ = Content();
  }
  void Replace(int64_t begin, const std::string& with) {
    std::string text = whole_;
    text.replace(begin, with.size(), with);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, text));
  }

  std::vector<int64_t> ends_;  // Of the steps' lines.
  std::string whole_;
};

TEST_F(DamagedMetricsTest, ALineThatIsDamagedCostsThatLineAlone) {
  for (const int64_t bytes : {int64_t{-1}, ends_[5]}) {
    for (const std::string& with :
         {std::string(100, '\0'), std::string("{\"kind\":\"x"), std::string(300, '?')}) {
      Replace(0, with);
      const std::string before = Content();
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto writer, ResumeAt(0, 6, bytes));
      EXPECT_EQ(Content(), before);
      EXPECT_THAT(writer->damage(), testing::HasSubstr(path_ + " is damaged: line"));
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(const MetricsContent metrics,
                                     ReadReadableMetrics(fs_, path_, SealRule::kRequired));
      EXPECT_GE(metrics.lines.size(), 5u);
      EXPECT_EQ(metrics.damaged.front(), 1);
    }
  }
}

TEST_F(DamagedMetricsTest, EveryFlippedBitIsNamedAndTheOtherLinesStay) {
  for (size_t bit = 0; bit < 8 * whole_.size(); bit += 11) {  // A sample: each write is synced.
    std::string flipped = whole_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, flipped));
    ASSERT_THAT(ReadMetrics(fs_, path_), StatusIs(absl::StatusCode::kDataLoss, "is damaged: line"))
        << bit;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto writer, ResumeAt(0, 3, ends_[2]));
    // What lies before the checkpoint stays, byte by byte.
    ASSERT_EQ(Content().substr(0, ends_[2]), flipped.substr(0, ends_[2])) << bit;
    ASSERT_EQ(writer->damage().empty(), static_cast<int64_t>(bit / 8) >= ends_[2]) << bit;
    ASSERT_THAT(ReadReadableMetrics(fs_, path_, SealRule::kRequired)->lines,
                SizeIs(testing::AllOf(testing::Ge(1), testing::Le(4))));
  }
}

TEST_F(DamagedMetricsTest, ResumeAtAKnownPlaceKeepsTheCheckpointsOwnLine) {
  PROTOPAGE_ASSERT_OK(ResumeAt(0, 3, ends_[2]));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 2", "step 3", "checkpoint 3"));
  PROTOPAGE_ASSERT_OK(ResumeAt(0, 2, ends_[1]));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 2"));
}

TEST_F(DamagedMetricsTest, MissingLinesAreSaid) {
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path_, whole_.substr(0, ends_[1])));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto writer, ResumeAt(0, 3, ends_[2]));
  EXPECT_THAT(writer->damage(), testing::HasSubstr("bytes of its lines are missing"));
  EXPECT_THAT(Kinds(), ElementsAre("step 1", "step 2"));
  PROTOPAGE_ASSERT_OK(fs_->Remove(path_));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(writer, ResumeAt(0, 3, ends_[2]));
  EXPECT_THAT(writer->damage(), testing::HasSubstr("is missing"));
}

TEST_F(DamagedMetricsTest, AfterALossOfPowerZerosAreCutOff) {
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(
      fs_, path_, absl::StrCat(whole_.substr(0, ends_[2]), std::string(50, '\0'), "\n")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto writer, ResumeAt(0, 3));
  EXPECT_EQ(writer->damage(), "");
  EXPECT_EQ(Content(), whole_.substr(0, ends_[2]));
}

TEST(DescribeLinesTest, JoinsNeighbours) {
  EXPECT_EQ(DescribeLines({4}), "line 4");
  EXPECT_EQ(DescribeLines({1, 2}), "lines 1 to 2");
  EXPECT_EQ(DescribeLines({1, 3, 4, 5, 9}), "lines 1, 3 to 5 and 9");
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
