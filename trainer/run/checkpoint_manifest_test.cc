#include "protopage/trainer/run/checkpoint_manifest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr char kRun[] = "8899aabbccddeeff";

class CheckpointManifestTest : public testing::Test {
 protected:
  CheckpointManifestTest()
      : folder_(absl::StrCat(testing::TempDir(), "/manifest_", getpid(), "_",
                             testing::UnitTest::GetInstance()->current_test_info()->name(),
                             "/0000005202")) {
    PROTOPAGE_EXPECT_OK(fs_->CreateDirectories(folder_));
  }
  std::string Path(const std::string& name) { return JoinPath(folder_, name); }
  void Write(const std::string& name, const std::string& text) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path(name), text));
  }
  void WriteAll() {
    Write("model.h5", "weights");
    Write("state.json", "{}");
    Write("index.bin", "an index");
    Write("notes.txt", "somebody else's");
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointManifest manifest,
                                   MakeManifest(fs_, folder_, 5202, kRun));
    PROTOPAGE_ASSERT_OK(WriteManifest(fs_, folder_, manifest));
  }
  absl::Status Check(CheckDepth depth = CheckDepth::kAll) {
    PROTOPAGE_ASSIGN_OR_RETURN(const CheckpointManifest manifest, ReadManifest(fs_, folder_));
    return CheckFiles(fs_, folder_, manifest, depth);
  }

  FileSystem* fs_ = DefaultFileSystem();
  const std::string folder_;
};

TEST(CheckpointNameTest, HasTenDigitsOrMore) {
  EXPECT_EQ(CheckpointName(5202), "0000005202");
  EXPECT_EQ(CheckpointName(10'000'000'000), "10000000000");
  EXPECT_EQ(ParseCheckpointName("0000005202"), 5202);
  EXPECT_EQ(ParseCheckpointName("10000000000"), 10'000'000'000);
  EXPECT_EQ(ParseCheckpointName("0000000000"), 0);
  for (const char* name :
       {"best", ".DS_Store", "", "5202", "00000005202", "+000005202", "-000005202", " 000005202",
        "0000005202.bak", "000000520a", "0000005202 ", "99999999999999999999"}) {
    EXPECT_EQ(ParseCheckpointName(name), std::nullopt) << name;
  }
}

TEST(CheckpointNameTest, OnlyFilesOfACheckpointAreOurs) {
  for (const char* name :
       {"DONE", "DONE.tmp", "DONE.4711.tmp", "model.h5", "model.h5.tmp", "model.h5.4711.tmp",
        "model.h5.4711-2.tmp", "state.json", "prototypes.json", "index.bin", "index-changes.bin"}) {
    EXPECT_TRUE(IsCheckpointFile(name)) << name;
  }
  for (const char* name : {"notes.txt", "model.h5.bak", "model.h5.mine.tmp", ".tmp", "", "index"}) {
    EXPECT_FALSE(IsCheckpointFile(name)) << name;
  }
}

TEST_F(CheckpointManifestTest, ListsTheFilesOfTheCheckpoint) {
  WriteAll();
  PROTOPAGE_EXPECT_OK(Check());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs_, Path("DONE")));
  EXPECT_EQ(text, R"(protopage checkpoint 2
run 8899aabbccddeeff
number 5202
file 8 ~2e6f5ae8cb9373fa index.bin
file 7 06cc94573ff53c71 model.h5
file 2 1349cde127705c16 state.json
xxh3 36eac0f1abde3a89
)");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointManifest manifest, ReadManifest(fs_, folder_));
  EXPECT_EQ(manifest.format, 2);
  EXPECT_EQ(manifest.number, 5202);
  EXPECT_EQ(manifest.files.size(), 3u);
}

TEST_F(CheckpointManifestTest, EveryFlippedBitIsFound) {
  WriteAll();
  for (const char* name : {"DONE", "state.json", "model.h5"}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs_, Path(name)));
    for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
      std::string flipped = text;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      Write(name, flipped);
      ASSERT_THAT(Check(), StatusIs(absl::StatusCode::kDataLoss, Path(name))) << bit;
    }
    Write(name, text);
  }
  PROTOPAGE_EXPECT_OK(Check());
}

TEST_F(CheckpointManifestTest, MissingAndCutFilesAreNamed) {
  WriteAll();
  Write("index.bin", "an inde");
  EXPECT_THAT(Check(CheckDepth::kSmall),
              StatusIs(absl::StatusCode::kDataLoss, "index.bin is damaged: it has 7 bytes, and 8"));
  PROTOPAGE_ASSERT_OK(fs_->Remove(Path("index.bin")));
  EXPECT_THAT(Check(CheckDepth::kSmall),
              StatusIs(absl::StatusCode::kDataLoss, "index.bin is missing"));
  PROTOPAGE_ASSERT_OK(fs_->Remove(Path("DONE")));
  EXPECT_THAT(ReadManifest(fs_, folder_), StatusIs(absl::StatusCode::kNotFound, "DONE"));
}

TEST_F(CheckpointManifestTest, LargeFilesAreComparedWhereAllAre) {
  std::string large((1 << 20) + 1, 'x');
  Write("model.h5", large);
  WriteManifest(fs_, folder_, MakeManifest(fs_, folder_, 1, kRun).value()).IgnoreError();
  large[0] = 'y';
  Write("model.h5", large);
  PROTOPAGE_EXPECT_OK(Check(CheckDepth::kSmall));
  EXPECT_THAT(Check(CheckDepth::kAll), StatusIs(absl::StatusCode::kDataLoss, "model.h5"));
}

TEST_F(CheckpointManifestTest, NamesTheRun) {
  WriteAll();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointManifest manifest, ReadManifest(fs_, folder_));
  EXPECT_EQ(manifest.run, kRun);
}

// An index may be too large to read all of it, but is not another one.
TEST_F(CheckpointManifestTest, AnotherIndexOfTheSameSizeIsFound) {
  const std::string large((1 << 20) + 1, 'x');
  Write("index.bin", large);
  WriteManifest(fs_, folder_, MakeManifest(fs_, folder_, 1, kRun).value()).IgnoreError();
  PROTOPAGE_EXPECT_OK(Check(CheckDepth::kSmall));
  Write("index.bin", std::string(large.size(), 'y'));
  EXPECT_THAT(Check(CheckDepth::kSmall), StatusIs(absl::StatusCode::kDataLoss, "index.bin"));
}

// As the first programs of this format wrote it.
TEST_F(CheckpointManifestTest, RunAndSamplesMayBeMissing) {
  Write("index.bin", "an index");
  CheckpointManifest manifest;
  manifest.number = 5202;
  manifest.files.push_back({"index.bin", 8, std::nullopt, false});
  PROTOPAGE_ASSERT_OK(WriteManifest(fs_, folder_, manifest));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs_, Path("DONE")));
  EXPECT_EQ(text.substr(0, text.rfind("xxh3 ")),
            "protopage checkpoint 2\nnumber 5202\nfile 8 - index.bin\n");
  PROTOPAGE_EXPECT_OK(Check());
}

TEST_F(CheckpointManifestTest, Format1HasTheNumberOnly) {
  Write("DONE", "5202\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const CheckpointManifest manifest, ReadManifest(fs_, folder_));
  EXPECT_EQ(manifest.format, 1);
  EXPECT_EQ(manifest.number, 5202);
  for (const char* text :
       {"", "\n", "5202", "5202 \n", "+5202\n", "05202\n", "-5202\n", "52x2\n"}) {
    Write("DONE", text);
    EXPECT_THAT(ReadManifest(fs_, folder_), StatusIs(absl::StatusCode::kDataLoss, "DONE")) << text;
  }
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs, const std::string& folder,
                                                    const std::string& run) {
  PROTOPAGE_ASSIGN_OR_RETURN(CheckpointManifest manifest, MakeManifest(fs, folder, 5202, run));
  PROTOPAGE_RETURN_IF_ERROR(WriteManifest(fs, folder, manifest));
  PROTOPAGE_ASSIGN_OR_RETURN(manifest, ReadManifest(fs, folder));
  PROTOPAGE_RETURN_IF_ERROR(CheckFiles(fs, folder, manifest, CheckDepth::kAll));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
