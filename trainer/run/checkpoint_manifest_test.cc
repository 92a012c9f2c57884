#include "protopage/trainer/run/checkpoint_manifest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

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
                                   MakeManifest(fs_, folder_, 5202));
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
number 5202
file 8 - index.bin
file 7 06cc94573ff53c71 model.h5
file 2 1349cde127705c16 state.json
xxh3 258be649d43baf54
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
  WriteManifest(fs_, folder_, MakeManifest(fs_, folder_, 1).value()).IgnoreError();
  large[0] = 'y';
  Write("model.h5", large);
  PROTOPAGE_EXPECT_OK(Check(CheckDepth::kSmall));
  EXPECT_THAT(Check(CheckDepth::kAll), StatusIs(absl::StatusCode::kDataLoss, "model.h5"));
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

[[maybe_unused]] absl::Status TheExampleOfTheHeader(FileSystem* fs, const std::string& folder) {
  PROTOPAGE_ASSIGN_OR_RETURN(CheckpointManifest manifest, MakeManifest(fs, folder, 5202));
  PROTOPAGE_RETURN_IF_ERROR(WriteManifest(fs, folder, manifest));
  PROTOPAGE_ASSIGN_OR_RETURN(manifest, ReadManifest(fs, folder));
  PROTOPAGE_RETURN_IF_ERROR(CheckFiles(fs, folder, manifest, CheckDepth::kAll));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
