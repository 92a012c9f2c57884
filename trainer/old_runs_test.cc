// Runs that earlier versions made are read and resumed. Each format has its folder in testdata,
// with
//
//   finished.tar.gz      a run that ended
//   interrupted.tar.gz   the same, killed in the middle of its dominant stage
//   rows.npy             the prototypes at the end, as that version exported them
//
// A new format adds a folder, made by the last program before the next one.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/testing/run_protopage.h"

namespace protopage {
namespace {

class OldRunsTest : public testing::TestWithParam<int64_t> {
 protected:
  OldRunsTest()
      : directory_(absl::StrCat(
            testing::TempDir(), "/old_runs_", getpid(), "_",
            absl::StrReplaceAll(testing::UnitTest::GetInstance()->current_test_info()->name(),
                                {{"/", "_"}}))) {
    std::filesystem::create_directories(directory_);
    for (const char* name : {"finished", "interrupted"}) {
      const std::string command =
          absl::StrCat("tar -xzf ", data_, "/", name, ".tar.gz -C ", directory_);
      EXPECT_EQ(std::system(command.c_str()), 0) << command;
    }
  }

  std::string Path(const std::string& name) { return JoinPath(directory_, name); }

  // The floats of an .npy of float32.
  static std::vector<float> Floats(const std::string& path) {
    const absl::StatusOr<std::string> text = ReadFile(DefaultFileSystem(), path);
    PROTOPAGE_EXPECT_OK(text);
    if (!text.ok()) return {};
    const size_t begin = text->find('\n') + 1;
    std::vector<float> floats((text->size() - begin) / sizeof(float));
    std::memcpy(floats.data(), text->data() + begin, floats.size() * sizeof(float));
    return floats;
  }
  std::vector<float> Export(const std::string& run, const std::string& checkpoint = "-1") {
    const ProtopageOutcome outcome =
        RunProtopage({"export", "--run=" + Path(run), "--output=" + Path("rows.npy"),
                      "--checkpoint=" + checkpoint});
    EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
    return Floats(Path("rows.npy"));
  }

  const std::string data_ = absl::StrCat("trainer/testdata/run_format_", GetParam());
  const std::string directory_;
  const std::vector<float> rows_ = Floats(JoinPath(data_, "rows.npy"));
};

TEST_P(OldRunsTest, AFinishedRunIsRead) {
  ASSERT_EQ(rows_.size(), 40u * 4);
  EXPECT_EQ(Export("finished"), rows_);
  for (const char* run : {"finished", "interrupted"}) {
    const ProtopageOutcome checked = RunProtopage({"check", "--run=" + Path(run)});
    EXPECT_EQ(checked.exit_status, 0) << checked.out << checked.err;
    EXPECT_TRUE(absl::StrContains(checked.out, absl::StrCat("format ", GetParam()))) << checked.out;
  }
  const ProtopageOutcome evaluated = RunProtopage({"eval", "--run=" + Path("finished"), "--json"});
  ASSERT_EQ(evaluated.exit_status, 0) << evaluated.err;
  EXPECT_EQ(nlohmann::json::parse(evaluated.out).at("closed_set").at("num_classes"), 40);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto lines,
                                 ReadMetrics(DefaultFileSystem(), Path("finished/metrics.jsonl")));
  EXPECT_EQ(lines.back().at("kind"), "checkpoint");
}

TEST_P(OldRunsTest, AnInterruptedRunIsResumedAndEndsAsTheOther) {
  EXPECT_NE(Export("interrupted"), rows_);
  const ProtopageOutcome resumed =
      RunProtopage({"train", "--config=" + Path("interrupted/config.json"),
                    "--out=" + Path("interrupted"), "--resume"});
  ASSERT_EQ(resumed.exit_status, 0) << resumed.err;
  EXPECT_TRUE(absl::StrContains(resumed.err, "going on from ")) << resumed.err;
  // The bits of training may differ between instruction sets.
  const std::vector<float> rows = Export("interrupted");
  ASSERT_EQ(rows.size(), rows_.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(rows[i], rows_[i], 1e-3) << i;
  // It stays a run of its format, with the new checkpoints listed.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RunDirectory run,
                                 RunDirectory::Open(DefaultFileSystem(), Path("interrupted")));
  EXPECT_EQ(run.format(), GetParam());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string newest, run.LatestCheckpoint());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointManifest manifest,
                                 ReadManifest(DefaultFileSystem(), newest));
  EXPECT_EQ(manifest.format, 2);
  const ProtopageOutcome checked = RunProtopage({"check", "--run=" + Path("interrupted")});
  EXPECT_EQ(checked.exit_status, 0) << checked.out << checked.err;
  PROTOPAGE_EXPECT_OK(ReadMetrics(DefaultFileSystem(), Path("interrupted/metrics.jsonl")));
  // And it starts a new one from the old config.
  const ProtopageOutcome planned =
      RunProtopage({"train", "--config=" + Path("finished/config.json"), "--out=" + Path("again"),
                    "--set=init_from=" + Path("finished")});
  EXPECT_EQ(planned.exit_status, 0) << planned.err;
}

INSTANTIATE_TEST_SUITE_P(Formats, OldRunsTest, testing::Values(1, 2));

class FirstFormatTest : public OldRunsTest {};
INSTANTIATE_TEST_SUITE_P(Formats, FirstFormatTest, testing::Values(1));

TEST_P(FirstFormatTest, AChangedNumberInDoneIsDamage) {
  const std::string done = Path("finished/checkpoints/0000006003/DONE");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(DefaultFileSystem(), done, "6002\n"));
  const ProtopageOutcome outcome =
      RunProtopage({"export", "--run=" + Path("finished"), "--output=" + Path("rows.npy")});
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, done)) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err, "--checkpoint=6002 reads it")) << outcome.err;
  EXPECT_EQ(Export("finished", "6002"), rows_);
}

}  // namespace
}  // namespace protopage
