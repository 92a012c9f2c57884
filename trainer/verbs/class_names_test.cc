// The names of classes through a whole run: what is trained, evaluated and added is found by name.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/testing/run_protopage.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

namespace stdfs = std::filesystem;

constexpr int kClasses = 5;

class ClassNamesVerbsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/class_names_verbs_test_", getpid(), "_",
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    stdfs::remove_all(dir_);
    MakeFolders("");
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path("c.json"), Config("")));
  }

  static FileSystem* fs() { return DefaultFileSystem(); }
  std::string Path(const std::string& name) const { return JoinPath(dir_, name); }

  // Folders c00, c01, ... of images in trainSUFFIX and testSUFFIX.
  void MakeFolders(const std::string& suffix) {
    PROTOPAGE_ASSERT_OK(WriteTinyFolder(Path("train" + suffix), kClasses, 0, 3, kTinySide));
    PROTOPAGE_ASSERT_OK(WriteTinyFolder(Path("test" + suffix), kClasses, 10, 2, kTinySide));
  }
  void Rename(const std::string& suffix, const std::string& from, const std::string& to) {
    for (const char* folder : {"train", "test"}) {
      const std::string root = Path(folder + suffix);
      stdfs::rename(JoinPath(root, from), JoinPath(root, to));
    }
  }
  // A short run on them.
  std::string Config(const std::string& suffix) const {
    return absl::StrCat(R"({"threads": 1, "model": {"embedding_dim": 16, "dropout": 0},
      "data": {"type": "folder", "image_size": )",
                        kTinySide, R"(, "paths": {"target_train": ")", Path("train" + suffix),
                        R"(", "target_test": ")", Path("test" + suffix), R"("}},
      "selection": {"classes_per_step": 4, "positive_classes": 2},
      "stages": [{"name": "imprint"}, {"name": "dominant", "steps": 4, "batch_size": 6},
                 {"name": "evaluate"}]})");
  }

  ProtopageOutcome Train(const std::string& run, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"train", "--config=" + Path("c.json"),
                                          "--out=" + Path(run)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProtopage(arguments);
  }
  ProtopageOutcome Eval(const std::string& run, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"eval", "--run=" + Path(run), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProtopage(arguments);
  }
  // All rows of the run's newest prototypes.
  std::string Rows(const std::string& run) {
    const std::string npy = Path(run + ".npy");
    EXPECT_EQ(RunProtopage({"export", "--run=" + Path(run), "--output=" + npy}).exit_status, 0);
    return ReadFile(fs(), npy).value_or("");
  }

  std::string dir_;
};

// One line that holds all of the texts, and the exit status of a user's mistake.
void ExpectRefused(const ProtopageOutcome& outcome, const std::vector<std::string>& texts) {
  EXPECT_EQ(outcome.exit_status, 2);
  for (const std::string& text : texts) {
    EXPECT_TRUE(absl::StrContains(outcome.err, text)) << text << "\n" << outcome.err;
  }
}

TEST_F(ClassNamesVerbsTest, ARenamedFolderIsRefusedAndMayBeMapped) {
  ASSERT_EQ(Train("run").exit_status, 0);
  const ProtopageOutcome before = Eval("run");
  ASSERT_EQ(before.exit_status, 0) << before.err;
  Rename("", "c03", "a03");
  const std::vector<std::string> named = {"the classes are not those of the run",
                                          "1 class not known there: \"a03\"",
                                          "1 class known there only: \"c03\"", "--class_names"};
  ExpectRefused(Eval("run"), named);
  const ProtopageOutcome mapped = Eval("run", {"--class_names=mapped"});
  EXPECT_EQ(mapped.exit_status, 0) << mapped.err;
  EXPECT_TRUE(absl::StrContains(mapped.err, "4 are found by name")) << mapped.err;
  EXPECT_TRUE(absl::StrContains(mapped.out, "\"samples\": 8")) << mapped.out;
  EXPECT_EQ(Eval("run", {"--class_names=ignored"}).exit_status, 0);
  ExpectRefused(Eval("run", {"--class_names=some"}), {"expected one of exact, mapped, ignored"});
  Rename("", "a03", "c03");
  EXPECT_EQ(Eval("run").out, before.out);
}

TEST_F(ClassNamesVerbsTest, AddedAndRemovedFoldersAreRefusedAndMayBeMapped) {
  ASSERT_EQ(Train("run").exit_status, 0);
  const ProtopageOutcome before = Eval("run");
  // A class that comes first of all: the others would move by one.
  for (const char* folder : {"train", "test"}) {
    stdfs::copy(Path(absl::StrCat(folder, "/c00")), Path(absl::StrCat(folder, "/a")));
  }
  ExpectRefused(Eval("run"), {"1 class not known there: \"a\"."});
  EXPECT_EQ(Eval("run", {"--class_names=mapped"}).out, before.out);
  for (const char* folder : {"train/a", "test/a", "train/c01", "test/c01"}) {
    stdfs::remove_all(Path(folder));
  }
  ExpectRefused(Eval("run"), {"1 class known there only: \"c01\"."});
  const ProtopageOutcome fewer = Eval("run", {"--class_names=mapped"});
  EXPECT_EQ(fewer.exit_status, 0) << fewer.err;
  EXPECT_TRUE(absl::StrContains(fewer.out, "\"samples\": 8")) << fewer.out;
}

TEST_F(ClassNamesVerbsTest, AResumedRunKeepsItsClasses) {
  // Saved in the middle of its stages: the evaluation has no images then.
  ASSERT_EQ(Train("whole").exit_status, 0);
  ASSERT_EQ(
      Train("run", {"--set=checkpoint_every_steps=1", "--set=keep_checkpoints=20"}).exit_status, 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> checkpoints,
                                 fs()->List(Path("run/checkpoints")));
  ASSERT_GT(checkpoints.size(), 3u);
  Rename("", "c00", "z");
  for (const char* verb : {"exact", "ignored"}) {
    // What is left of the run needs its images.
    const std::string copy = absl::StrCat("copy_", verb);
    stdfs::copy(Path("run"), Path(copy), stdfs::copy_options::recursive);
    stdfs::remove_all(Path(copy + "/checkpoints/" + checkpoints.back()));
    const ProtopageOutcome resumed =
        Train(copy, {"--resume", absl::StrCat("--class_names=", verb),
                     "--set=checkpoint_every_steps=1", "--set=keep_checkpoints=20"});
    if (std::string(verb) == "exact") {
      ExpectRefused(resumed, {"1 class not known there: \"z\"; 1 class known there only: \"c00\""});
    } else {
      EXPECT_EQ(resumed.exit_status, 0) << resumed.err;
    }
  }
}

TEST_F(ClassNamesVerbsTest, ListsAreKnownByTheirLabels) {
  PROTOPAGE_ASSERT_OK(WriteTinyLists(Path("lists")));
  const std::string list = Path("lists/target_train.txt");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path("c.json"), TinyListConfig(Path("lists"))));
  ASSERT_EQ(Train("run").exit_status, 0);
  const ProtopageOutcome before = Eval("run");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(fs(), list));
  // Lines in another order have the same labels.
  std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  std::string reversed, shorter;
  for (const std::string& line : lines) {
    reversed = absl::StrCat(line, "\n", reversed);
    if (!absl::StrContains(line, "\t7\t")) absl::StrAppend(&shorter, line, "\n");
  }
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), list, reversed));
  EXPECT_EQ(Eval("run").out, before.out);
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), list, shorter));
  const std::string test = Path("lists/target_test.txt");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string tests, ReadFile(fs(), test));
  std::string shorter_tests;
  for (const absl::string_view line : absl::StrSplit(tests, '\n', absl::SkipEmpty())) {
    if (!absl::StrContains(line, "\t7\t")) absl::StrAppend(&shorter_tests, line, "\n");
  }
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), test, shorter_tests));
  ExpectRefused(Eval("run"), {"1 class known there only: \"7\"."});
  EXPECT_EQ(Eval("run", {"--class_names=mapped"}).exit_status, 0);
}

TEST_F(ClassNamesVerbsTest, ARunOfAnEarlierProgramTakesClassesByTheirNumbers) {
  ASSERT_EQ(Train("run").exit_status, 0);
  const ProtopageOutcome before = Eval("run");
  stdfs::remove_all(Path("run/classes"));
  const ProtopageOutcome without = Eval("run");
  EXPECT_EQ(without.exit_status, 0);
  EXPECT_EQ(without.out, before.out);
  EXPECT_TRUE(absl::StrContains(without.err, "has no record of the names of its target classes"))
      << without.err;
}

TEST_F(ClassNamesVerbsTest, DamagedNamesAreFound) {
  ASSERT_EQ(Train("run").exit_status, 0);
  const std::string path = Path("run/classes/target.h5");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(std::string content, ReadFile(fs(), path));
  const size_t at = content.find("c03");
  ASSERT_NE(at, std::string::npos);
  content[at] = 'd';
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), path, content));
  // The classes of the images are those of the fingerprint: no name is read.
  EXPECT_EQ(Eval("run").exit_status, 0);
  Rename("", "c03", "d03");
  const ProtopageOutcome used = Eval("run");
  EXPECT_EQ(used.exit_status, 1);
  EXPECT_TRUE(absl::StrContains(used.err, "target.h5: the name of class 3 does not match"))
      << used.err;
}

TEST_F(ClassNamesVerbsTest, AClassIsAddedOnceAndDroppedByName) {
  ASSERT_EQ(Train("run").exit_status, 0);
  const std::string store = Path("s.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  // The export knows the names of the run.
  const auto add = [&](const std::string& input) {
    return RunProtopage(
        {"classes", "add", "--store=" + store, "--run=" + Path("run"), "--input=" + Path(input)});
  };
  ExpectRefused(add("test"), {"class \"c00\" is class 0 of", "and so are 4 more"});
  stdfs::rename(Path("test/c01"), Path("test/new"));
  for (const char* folder : {"c00", "c02", "c03", "c04"}) {
    stdfs::remove_all(Path(absl::StrCat("test/", folder)));
  }
  const ProtopageOutcome added = add("test");
  ASSERT_EQ(added.exit_status, 0) << added.err;
  ExpectRefused(add("test"), {"class \"new\" is class 5 of", "no class was added"});
  const ProtopageOutcome inspected = RunProtopage({"inspect", "--store=" + store, "--pairs=20"});
  for (const char* text : {"rows          6 of", "c03", "new"}) {
    EXPECT_TRUE(absl::StrContains(inspected.out, text)) << text << "\n" << inspected.out;
  }
  // A list names classes by labels, which need not begin at 0.
  PROTOPAGE_ASSERT_OK(
      WriteFileAtomically(fs(), Path("list.txt"), "test/new/10.png\t912\ntest/new/11.png\t4711\n"));
  const ProtopageOutcome listed = add("list.txt");
  EXPECT_EQ(listed.exit_status, 0) << listed.err;
  EXPECT_TRUE(absl::StrContains(listed.out, "912     6       1\n")) << listed.out;
  EXPECT_TRUE(absl::StrContains(listed.out, "4711    7       1\n")) << listed.out;
  ASSERT_EQ(RunProtopage({"classes", "merge", "--store=" + store, "--into_name=912",
                          "--from_name=4711", "--from_name=c04"})
                .exit_status,
            0);
  ASSERT_EQ(RunProtopage({"classes", "drop", "--store=" + store, "--name=new"}).exit_status, 0);
  const ProtopageOutcome gone = RunProtopage({"classes", "drop", "--store=" + store, "--name=c04"});
  ExpectRefused(gone, {"--name: found \"c04\", expected the name of a class of"});
  // Its name is free again.
  EXPECT_EQ(add("test").exit_status, 0);
}

TEST_F(ClassNamesVerbsTest, ARunFromAStoreHasItsIdsWhateverTheOrderOfTheFolders) {
  ASSERT_EQ(Train("run").exit_status, 0);
  std::string rows[2], results[2];
  // The same images under a name that comes first, or last, of all: in the store the class is the
  // last one.
  const std::string names[2] = {"a", "z"};
  for (int i = 0; i < 2; ++i) {
    const std::string suffix = names[i], store = Path("s" + suffix + ".h5");
    ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
    MakeFolders(suffix);
    Rename(suffix, "c03", suffix);
    stdfs::create_directories(Path("new" + suffix));
    stdfs::copy(Path("test" + suffix + "/" + suffix), Path("new" + suffix + "/" + suffix),
                stdfs::copy_options::recursive);
    ASSERT_EQ(RunProtopage({"classes", "add", "--store=" + store, "--run=" + Path("run"),
                            "--input=" + Path("new" + suffix)})
                  .exit_status,
              0);
    ASSERT_EQ(RunProtopage({"classes", "drop", "--store=" + store, "--name=c03"}).exit_status, 0);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path("c.json"), Config(suffix)));
    const ProtopageOutcome trained =
        Train("from" + suffix, {"--set=prototypes.init_from=" + store});
    ASSERT_EQ(trained.exit_status, 0) << trained.err;
    EXPECT_TRUE(absl::StrContains(trained.err, "in another order, and keep their ids by name"))
        << trained.err;
    rows[i] = Rows("from" + suffix);
    results[i] = Eval("from" + suffix).out;
    // The images of the run know the names too.
    Rename(suffix, suffix, "other");
    ExpectRefused(Eval("from" + suffix), {"1 class not known there: \"other\"; 1 class known "
                                          "there only: \"" +
                                          suffix + "\"."});
  }
  EXPECT_TRUE(rows[0] == rows[1]);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_FALSE(results[0].empty());
}

}  // namespace
}  // namespace protopage
