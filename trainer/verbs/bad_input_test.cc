// Bad input by the command line: whatever is wrong, the user sees one line that names it and what
// is allowed, the exit status is 1 or 2, and nothing is left behind.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_matchers.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/testing/run_protopage.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

class BadInputTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new std::string(absl::StrCat(testing::TempDir(), "/bad_input_test_", getpid()));
    PROTOPAGE_ASSERT_OK(WriteTinyLists(*dir_));
    PROTOPAGE_ASSERT_OK(WriteTinyCifar(Path("cifar"), 1));
    PROTOPAGE_ASSERT_OK(WriteTinyFolder(Path("folder"), 3, 0, 1, kTinySide));
    PROTOPAGE_ASSERT_OK(
        WriteTinyFolder(Path("folder_test"), 4, 1, 1, kTinySide));  // One class too many.
    PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("empty")));
    // Only imprints, so that a run takes no time; the stages of TinyListConfig are in long.json.
    nlohmann::json json = ParseJson(TinyListConfig(*dir_), "tiny").value();
    Write("long.json", json.dump());
    json["stages"] = {{{"name", "imprint"}}, {{"name", "evaluate"}}};
    Write("tiny.json", json.dump());
    ASSERT_EQ(RunProtopage({"train", "--config=" + Path("tiny.json"), "--out=" + Path("run")})
                  .exit_status,
              0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto checkpoints, fs()->List(Path("run/checkpoints")));
    checkpoint_ = new std::string("checkpoints/" + checkpoints.back());
  }

  static FileSystem* fs() { return DefaultFileSystem(); }
  static std::string Path(const std::string& name) { return JoinPath(*dir_, name); }
  static void Write(const std::string& name, const std::string& content) {
    PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(DirectoryOf(Path(name))));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path(name), content));
  }
  static std::string Read(const std::string& name) {
    absl::StatusOr<std::string> content = ReadFile(fs(), Path(name));
    PROTOPAGE_EXPECT_OK(content);
    return content.value_or("");
  }

  // All files, folders and symbolic links, which are not followed, below `folder` with what changes
  // when one is written: number, size and time. A lock file, which never has content, counts as
  // there.
  static std::map<std::string, std::string> Tree(const std::string& folder) {
    std::map<std::string, std::string> tree;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      struct stat info = {};
      EXPECT_EQ(lstat(entry.path().c_str(), &info), 0);
      tree[entry.path()] = S_ISDIR(info.st_mode) ? "folder"
                           : entry.path().extension() == ".lock" && info.st_size == 0
                               ? "lock"
                               : absl::StrCat(info.st_ino, " ", info.st_size, " ",
                                              info.st_mtim.tv_sec, " ", info.st_mtim.tv_nsec);
    }
    return tree;
  }

  static std::string CopyRun(const std::string& name) {
    std::filesystem::copy(Path("run"), Path(name), std::filesystem::copy_options::recursive);
    return Path(name);
  }

  // Makes it a run of format 1, whose files have no checksums.
  static void MakeFormat1(const std::string& run) {
    nlohmann::ordered_json config = nlohmann::ordered_json::parse(Read(run + "/config.json"));
    config.erase("run_format");
    config.erase("xxh3");
    Write(run + "/config.json", config.dump(2));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, fs()->List(Path(run + "/checkpoints")));
    for (const std::string& name : names) {
      int64_t number = 0;
      ASSERT_TRUE(absl::SimpleAtoi(name, &number));
      Write(absl::StrCat(run, "/checkpoints/", name, "/DONE"), absl::StrCat(number, "\n"));
    }
  }

  // Runs, and expects an error of one line with all of `texts`.
  static void ExpectError(const std::vector<std::string>& arguments, int exit_status,
                          const std::vector<std::string>& texts) {
    const std::string trace = absl::StrCat("protopage ", absl::StrJoin(arguments, " "));
    const std::map<std::string, std::string> before = Tree(*dir_);
    const ProtopageOutcome outcome = RunProtopage(arguments);
    EXPECT_EQ(outcome.exit_status, exit_status) << trace << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << trace;
    std::vector<std::string> lines = absl::StrSplit(outcome.err, '\n');
    ASSERT_GE(lines.size(), 2u) << trace;
    EXPECT_EQ(lines.back(), "");
    lines.pop_back();
    for (size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(absl::StartsWith(lines[i], "protopage: error: "), i + 1 == lines.size())
          << trace << "\n"
          << outcome.err;
      EXPECT_TRUE(absl::StartsWith(lines[i], "protopage: ")) << trace << "\n" << outcome.err;
    }
    for (const std::string& text : texts) {
      EXPECT_TRUE(absl::StrContains(lines.back(), text))
          << trace << "\nhas no \"" << text << "\":\n"
          << lines.back();
    }
    const std::map<std::string, std::string> after = Tree(*dir_);
    for (const auto& [path, content] : after) {
      const auto old = before.find(path);
      EXPECT_TRUE(old != before.end()) << trace << "\nleft " << path;
      EXPECT_TRUE(old == before.end() || old->second == content) << trace << "\nchanged " << path;
    }
    for (const auto& entry : before) {
      EXPECT_TRUE(after.count(entry.first) > 0) << trace << "\nremoved " << entry.first;
    }
  }

  // A run that would make all of its folders, with changes of the config.
  static std::vector<std::string> TrainWith(const std::vector<std::string>& set,
                                            const std::string& config = "tiny.json") {
    std::vector<std::string> arguments = {"train", "--config=" + Path(config),
                                          "--out=" + Path("new/deep/run")};
    for (const std::string& assignment : set) arguments.push_back("--set=" + assignment);
    return arguments;
  }

  static std::string* dir_;
  static std::string* checkpoint_;  // Of the run, below it.
};

std::string* BadInputTest::dir_ = nullptr;
std::string* BadInputTest::checkpoint_ = nullptr;

TEST_F(BadInputTest, WrongUsage) {
  ExpectError({}, 2, {"no verb given", "train, eval, embed"});
  ExpectError({"trian"}, 2, {"unknown verb \"trian\", did you mean \"train\"?"});
  ExpectError({"train"}, 2, {"needs --config=FILE"});
  ExpectError({"train", "--confg=a"}, 2, {"unknown flag --confg, did you mean --config?"});
  ExpectError({"train", "--config=a", "--resume=maybe"}, 2, {"--resume", "maybe", "true or false"});
  ExpectError({"eval", "--run=" + Path("run"), "--split=tests"}, 2,
              {"--split: ", "\"tests\"", "target_test"});
  ExpectError({"eval", "--run=" + Path("run"), "--split=unseen"}, 2, {"unseen", "no prototypes"});
  ExpectError({"eval", "--run=" + Path("run"), "--split=source_test"}, 1, {"no source stage"});
}

TEST_F(BadInputTest, ConfigFiles) {
  ExpectError({"train", "--config=" + Path("none.json"), "--out=" + Path("new")}, 1,
              {"--config: ", "none.json", "No such file"});
  ExpectError({"train", "--config=" + Path("empty"), "--out=" + Path("new")}, 2,
              {"--config: ", "Is a directory"});
  const struct {
    const char* text;
    std::vector<std::string> expected;
  } kCases[] = {
      {"", {"bad.json", "not valid JSON"}},
      {"{\"seed\": 1,", {"bad.json", "not valid JSON", "line 1"}},
      {"\xff\xd8\xff\xe0 a picture", {"bad.json", "not valid JSON"}},
      {"[1]", {"bad.json", "expected an object"}},
      {"{\"seed\": 1, \"seed\": 2}", {"bad.json", "\"seed\" stands twice"}},
      {"{\"sede\": 1}", {"bad.json", "unknown key sede; did you mean seed?"}},
      {"{}", {"bad.json", "stages: found none", "source, imprint"}},
  };
  for (const auto& c : kCases) {
    Write("bad.json", c.text);
    ExpectError({"train", "--config=" + Path("bad.json"), "--out=" + Path("new")}, 2, c.expected);
  }
}

TEST_F(BadInputTest, ConfigKeysAndValues) {
  const struct {
    const char* set;
    std::vector<std::string> expected;
  } kCases[] = {
      {"selection.clases_per_step=3",
       {"unknown key selection.clases_per_step; did you mean selection.classes_per_step?"}},
      {"stages[0].epoch=3", {"unknown key stages[0].epoch; did you mean stages[0].epochs?"}},
      {"seed=abc", {"seed: found \"abc\"", "integer"}},
      {"seed=-1", {"seed: found -1", "0"}},
      {"seed=1.5", {"seed: found 1.5", "integer"}},
      {"stages[0].batch_size=0", {"stages[0].batch_size: found 0"}},
      {"stages[0].augment=1", {"stages[0].augment: found 1", "true or false"}},
      {"stages[0].name=imprnt", {"stages[0].name: found \"imprnt\"", "imprint"}},
      {"stages[0].split=target", {"stages[0].split", "\"target\"", "target_train"}},
      {"stages={}", {"stages: found {}", "list"}},
      {"stages=[]", {"stages: found none"}},
      {"stages=[{\"name\":\"evaluate\"}]", {"stages[0]", "nothing to evaluate"}},
      {"stages=[{\"name\":\"dominant\"}]", {"stages[0] (dominant)", "epochs 0 and steps 0"}},
      {"data.type=folders", {"data.type: found \"folders\"", "folder"}},
      {"data.channels=2", {"data.channels: found 2", "0, 1 or 3"}},
      {"data.image_size=4", {"model: ", "4 x 4", "at least"}},
      {"data.paths=[]", {"data.paths: found []"}},
      {"model.net=resnet", {"resnet", "seed_cnn"}},
      {"loss.name=softmax", {"loss.name: found \"softmax\"", "am_softmax"}},
      {"loss.margin=-3", {"loss", "margin", "-3"}},
      {"device=gpu", {"device: found \"gpu\"", "auto"}},
      {"prototypes.cache_bytes=1", {"prototypes.cache_bytes: found 1"}},
      {"stages[0].optimizer.beta1=1", {"beta1: found 1", "from 0 to 0.9999999"}},
      {"seed=18446744073709551615", {"seed: found 18446744073709551615", "below 2^63"}},
      {"prototypes.dtype=float64", {"prototypes.dtype", "float64", "float32"}},
      {"seed", {"--set seed", "key.name=value"}},
      {"stages[7].steps=1", {"--set stages[7].steps=1", "no element 7"}},
      {"stages[x].steps=1", {"--set stages[x].steps=1", "malformed"}},
      {"init_from=\xff", {"--set", "not UTF-8"}},
  };
  for (const auto& c : kCases) ExpectError(TrainWith({c.set}), 2, c.expected);
}

// What can be known only with the data at hand, before the first stage runs.
TEST_F(BadInputTest, ConfigsThatDoNotFitTheData) {
  const struct {
    std::vector<std::string> set;
    std::vector<std::string> expected;
  } kCases[] = {
      {{"stages[0].batch_size=1000"},
       {"stages[0] (source)", "batch_size: found 1000", "16 images"}},
      {{"stages[2].domain=photo"}, {"stages[2] (imprint)", "domain: found \"photo\"", "id, spot"}},
      {{"selection.classes_per_step=9", "stages[3].batch_size=9"},
       {"stages[3] (dominant)", "selection.classes_per_step is 9", "8"}},
      {{"stages[3].batch_size=5"}, {"stages[3] (dominant)", "batch size is 5", "6"}},
      {{"selection.positive_classes=7"},
       {"stages[3] (dominant)", "selection.positive_classes is 7"}},
      {{"selection.candidate_queue=2"}, {"selection.candidate_queue is 2", "dominant_queue, 3"}},
      {{"stages[3].schedule.name=cosine", "stages[3].schedule.warmup_steps=3"},
       {"stages[3] (dominant)", "warmup_steps is 3"}},
      {{"stages[3].split=source_train"},
       {"stages[3] (dominant)", "4 classes", "prototype table", "8"}},
      {{"stages[4].split=source_test"}, {"stages[4] (evaluate)", "4 classes", "8"}},
      {{"stages[4].split=unseen"}, {"stages[4] (evaluate)", "unseen", "no prototypes"}},
      {{"stages[4].split=target_validation"},
       {"stages[4] (evaluate)", "data.validation_share above 0"}},
      {{"data.paths.source_train="}, {"stages[0] (source)", "needs data.paths.source_train"}},
      {{"data.type=cifar"}, {"data.data_dir is not set", "cifar-10-batches-bin"}},
      {{"data.type=glyphs", "data.glyphs.source_classes=0"},
       {"stages[0] (source)", "data.glyphs.source_classes above 0"}},
  };
  for (const auto& c : kCases) ExpectError(TrainWith(c.set, "long.json"), 2, c.expected);
}

TEST_F(BadInputTest, PlanNamesTheFolderThatItCannotMakeItsOwnIn) {
  const char* const before = std::getenv("TMPDIR");
  const std::string old = before != nullptr ? before : "";
  ASSERT_EQ(setenv("TMPDIR", "/nonexistent", 1), 0);
  ExpectError({"plan", "--config=" + Path("long.json")}, 1,
              {"cannot make a folder in /nonexistent (No such file"});
  before != nullptr ? setenv("TMPDIR", old.c_str(), 1) : unsetenv("TMPDIR");
}

TEST_F(BadInputTest, Lists) {
  Write("photo.png", Read("images/unseen_0_0.png"));
  const struct {
    const char* name;
    std::string text;
    std::vector<std::string> expected;
  } kCases[] = {
      {"empty", "", {"no image is listed"}},
      {"foreign", Read("photo.png"), {": not text"}},
      {"truncated", "images/target_test_0_0.png\t0\tspot\nimages/targ", {":2: found 1 tab-sep"}},
      {"label_text", "a.png\tcat\tspot\n", {":1: label \"cat\" is not an integer"}},
      {"label_negative", "a.png\t-1\tspot\n", {":1: label -1 is outside [0, 8)"}},
      {"label_large", "a.png\t0\tspot\nb.png\t8\tspot\n", {":2: label 8 is outside [0, 8)"}},
      {"domain", "a.png\t0\tphoto\n", {"domain \"photo\"", "id, spot"}},
      {"domains", "a.png\t0\tid\nb.png\t0\n", {":2: all lines must have a domain, or none"}},
  };
  for (const auto& c : kCases) {
    const std::string path = Path(absl::StrCat(c.name, ".txt"));
    Write(absl::StrCat(c.name, ".txt"), c.text);
    std::vector<std::string> expected = c.expected;
    expected.push_back(absl::StrCat("stages[1] (evaluate): data.paths.target_test: ", path));
    ExpectError(TrainWith({"data.paths.target_test=" + path}), 1, expected);
  }
  ExpectError(TrainWith({"data.paths.unseen=" + Path("none.txt")}), 1,
              {"stages[1] (evaluate): data.paths.unseen: ", "none.txt", "No such file"});
  // Only the last stage needs it, and still the first one does not begin.
  ExpectError(TrainWith({"data.paths.target_test=" + Path("none.txt")}, "long.json"), 1,
              {"stages[4] (evaluate): data.paths.target_test: ", "none.txt", "No such file"});
  Write("huge.txt", "a.png\t4000000000\n");
  ExpectError(TrainWith({"data.paths.target_train=" + Path("huge.txt")}), 1,
              {"huge.txt:1: label 4000000000 is too large"});
  Write("ids.txt", "a.png\t0\tid\nb.png\t1\tspot\n");
  ExpectError(TrainWith({"data.paths.unseen=" + Path("ids.txt")}), 2,
              {"stages[1] (evaluate)", "ids.txt", "1 classes with an id image and 1 spots"});
}

TEST_F(BadInputTest, Folders) {
  const auto with = [&](const std::string& train, const std::string& test) {
    return TrainWith({"data.type=folder", "data.paths.target_train=" + Path(train),
                      "data.paths.target_test=" + Path(test), "data.paths.unseen="});
  };
  ExpectError(with("none", "folder"), 1, {"data.paths.target_train: ", "none: no such folder"});
  ExpectError(with("tiny.json", "folder"), 1, {"tiny.json: no such folder", "for each class"});
  ExpectError(with("empty", "folder"), 1, {"empty: no image found", ".jpg"});
  ExpectError(with("folder", "folder_test"), 1,
              {"data.paths.target_test: ", "folder_test/c03", "no class \"c03\""});
  PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("hollow/c00")));
  ExpectError(with("hollow", "folder"), 1, {"hollow/c00: no .jpg, .jpeg or .png"});
}

TEST_F(BadInputTest, CifarFiles) {
  const auto with = [&](const std::string& data_dir) {
    return TrainWith({"data.type=cifar", "data.image_size=32", "data.data_dir=" + Path(data_dir)});
  };
  ExpectError(with("none"), 1, {"none/cifar-100-binary/train.bin is missing", "cs.toronto.edu"});
  ExpectError(with("empty"), 1, {"empty/cifar-100-binary/train.bin is missing"});
  const std::string train = Read("cifar/cifar-100-binary/train.bin");
  const std::string test = Read("cifar/cifar-100-binary/test.bin");
  const struct {
    const char* name;
    std::string content;
    std::vector<std::string> expected;
  } kCases[] = {
      {"cut",
       test.substr(0, test.size() - 1),
       {"test.bin", "not a multiple of the 3074", "truncated"}},
      {"zero", "", {"test.bin", "0 bytes"}},
      {"foreign", "From: a letter", {"test.bin", "14 bytes", "of another kind"}},
      {"label", std::string(3074, '\x64'), {"test.bin", "label 100", "0 to 99"}},
  };
  for (const auto& c : kCases) {
    Write(absl::StrCat(c.name, "/cifar-100-binary/train.bin"), train);
    Write(absl::StrCat(c.name, "/cifar-100-binary/test.bin"), c.content);
    ExpectError(with(c.name), 1, c.expected);
  }
}

TEST_F(BadInputTest, ImagesWhenEmbedding) {
  const std::string good = Read("images/unseen_0_0.png");
  std::string flipped = good;
  flipped[flipped.size() / 2] ^= 0x55;
  const struct {
    const char* name;
    std::string content;
    std::vector<std::string> expected;
  } kCases[] = {
      {"zero.png", "", {"the file is empty"}},
      {"text.png", "not a picture", {"neither a JPEG nor a PNG"}},
      {"cut.png", good.substr(0, good.size() / 2), {"damaged PNG"}},
      {"flipped.png", flipped, {"damaged PNG"}},
      {"cut.jpg", "\xff\xd8\xff\xe0", {"damaged JPEG"}},
  };
  Write("before.npy", "an older result");
  for (const auto& c : kCases) {
    // The second of three images: the output of the first is removed as well.
    const std::string folder = absl::StrCat("embed_", c.name);
    Write(folder + "/a.png", good);
    Write(folder + "/" + c.name, c.content);
    Write(folder + "/z.png", good);
    std::vector<std::string> expected = c.expected;
    expected.push_back(Path(folder + "/" + c.name));
    for (const char* output : {"out.npy", "out.h5", "before.npy"}) {
      ExpectError(
          {"embed", "--run=" + Path("run"), "--input=" + Path(folder), "--output=" + Path(output)},
          1, expected);
    }
  }
  Write("missing.txt", "images/unseen_0_0.png\nimages/none.png\n");
  ExpectError({"embed", "--run=" + Path("run"), "--input=" + Path("missing.txt"),
               "--output=" + Path("out.npy")},
              1, {"images/none.png", "No such file"});
}

TEST_F(BadInputTest, FlagsOfEmbed) {
  const auto embed = [&](const std::string& run, const std::string& input,
                         const std::string& output) {
    return std::vector<std::string>{"embed", "--run=" + Path(run), "--input=" + Path(input),
                                    "--output=" + Path(output)};
  };
  ExpectError(embed("none", "images", "out.npy"), 1, {"none holds no run", "config.json"});
  ExpectError(embed("run", "none", "out.npy"), 1, {"--input: ", "none", "No such file"});
  ExpectError(embed("run", "none.png", "out.npy"), 1, {"--input: ", "none.png: no such file"});
  ExpectError(embed("run", "empty", "out.npy"), 1, {"--input: ", "empty: no .jpg"});
  ExpectError(embed("run", "cifar/cifar-100-binary/test.bin", "out.npy"), 1,
              {"--input: ", "test.bin:1: not text"});
  ExpectError(embed("run", "images", "out.csv"), 2, {"--output: ", "out.csv", ".npy, .h5"});
  ExpectError(embed("run", "images", "none/out.npy"), 1, {"--output: ", "none/out.npy", "No such"});
  ExpectError(embed("run", "images", "none/out.h5"), 1, {"--output: ", "none/out.h5", "No such"});
}

// A damaged image may show late, in a run that has begun. Then the run can be resumed.
TEST_F(BadInputTest, ARunStoppedByADamagedImageGoesOnWhenItIsRepaired) {
  std::string list;
  for (int label = 0; label < kTinyTargetClasses; ++label) {
    absl::StrAppend(&list, "copies/", label, ".png\t", label, "\n");
    Write(absl::StrCat("copies/", label, ".png"),
          Read(absl::StrCat("images/target_train_", label, "_0.png")));
  }
  Write("copies.txt", list);
  const std::string good = Read("copies/5.png");
  // The end is there, so that only decoding finds it.
  std::string damaged = good;
  damaged[good.size() / 2] ^= 0x55;
  Write("copies/5.png", damaged);
  std::vector<std::string> arguments = {"train", "--config=" + Path("tiny.json"),
                                        "--out=" + Path("stopped"),
                                        "--set=data.paths.target_train=" + Path("copies.txt"),
                                        "--set=data.paths.target_test=" + Path("copies.txt")};
  const ProtopageOutcome stopped = RunProtopage(arguments);
  EXPECT_EQ(stopped.exit_status, 1);
  EXPECT_TRUE(absl::StrContains(stopped.err, Path("copies/5.png") + ": damaged PNG"))
      << stopped.err;
  EXPECT_TRUE(absl::StrContains(stopped.err,
                                "stage imprint ended at step 0, --resume goes on from "
                                "the beginning when that is mended"))
      << stopped.err;
  Write("copies/5.png", good);
  ExpectError(arguments, 1, {"stopped holds a run already", "--resume"});
  arguments.push_back("--resume");
  const ProtopageOutcome resumed = RunProtopage(arguments);
  EXPECT_EQ(resumed.exit_status, 0) << resumed.err;
  EXPECT_TRUE(fs()->Exists(Path("stopped/results.json")));
}

TEST_F(BadInputTest, Fonts) {
  const auto with = [&](const std::string& font) {
    return TrainWith({"data.type=glyphs", "data.glyphs.font_dir=" + *dir_,
                      "data.glyphs.cache_dir=" + Path("cache"), "data.glyphs.id_font=a=" + font,
                      "data.glyphs.train_fonts=[\"b=" + font + "\"]",
                      "data.glyphs.held_out_fonts=[\"c=" + font + "\"]"});
  };
  ExpectError(with("none.ttf"), 1, {"data.glyphs: 3 of 3 fonts missing", Path("none.ttf")});
  ExpectError(TrainWith({"data.type=glyphs", "data.glyphs.font_dir=" + Path("empty"),
                         "data.glyphs.cache_dir=" + Path("cache")}),
              1, {"fonts missing", "NotoSansCJK", "apt-get install", "fonts-noto-cjk"});
  Write("foreign.ttf", "this is no font");
  ExpectError(with("foreign.ttf"), 1, {Path("foreign.ttf")});
  ExpectError(with("a=b=c"), 1, {"fonts missing"});
  ExpectError(TrainWith({"data.type=glyphs", "data.glyphs.id_font=nameless"}), 2,
              {"data.glyphs.id_font", "nameless", "lineage=path"});
}

TEST_F(BadInputTest, RunDirectories) {
  const auto train = [&](const std::string& out) {
    return std::vector<std::string>{"train", "--config=" + Path("tiny.json"), "--out=" + out};
  };
  ExpectError(train(Path("run")), 1, {"run holds a run already", "--resume", "--out"});
  ExpectError(train(Path("images")), 1, {"images is not empty and holds no run", "--out"});
  ExpectError(train(Path("tiny.json")), 1, {"run directory", "tiny.json"});
  ExpectError(train(Path("tiny.json/run")), 1, {"run directory", "tiny.json: File exists"});
  // The folders above it are removed again.
  ExpectError(train(Path("new/" + std::string(300, 'x') + "/run")), 1,
              {"run directory", "File name too long"});
  if (geteuid() != 0) {  // Root may write everywhere.
    PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("locked")));
    ASSERT_EQ(chmod(Path("locked").c_str(), 0555), 0);
    ExpectError(train(Path("locked")), 1, {"run directory", "locked", "Permission denied"});
    ExpectError(train(Path("locked/run")), 1, {"run directory", "locked", "Permission denied"});
    ASSERT_EQ(chmod(Path("locked").c_str(), 0755), 0);
  }
}

TEST_F(BadInputTest, Resume) {
  const auto resume = [&](const std::string& out, const std::vector<std::string>& set) {
    std::vector<std::string> arguments = {"train", "--config=" + Path("tiny.json"),
                                          "--out=" + Path(out), "--resume"};
    for (const std::string& assignment : set) arguments.push_back("--set=" + assignment);
    return arguments;
  };
  ExpectError({"train", "--config=" + Path("tiny.json"), "--resume"}, 2,
              {"--resume needs --out=DIR"});
  ExpectError(resume("none", {}), 1, {"none holds no run", "config.json"});
  ExpectError(resume("empty", {}), 1, {"empty holds no run"});
  ExpectError(resume("run", {"seed=7", "stages[0].domain=id"}), 2,
              {"--resume", "config differs", "seed, stages[0].domain", "threads"});
  ExpectError(resume("run", {"stages=[]"}), 2, {"stages: found none"});
  // The data of stages that are still to come are opened first.
  const std::string half = CopyRun("half");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto checkpoints, fs()->List(half + "/checkpoints"));
  ASSERT_EQ(checkpoints.size(), 2u);
  PROTOPAGE_ASSERT_OK(fs()->Remove(JoinPath(half, *checkpoint_ + "/DONE")));
  const std::string list = Read("target_test.txt");
  PROTOPAGE_ASSERT_OK(fs()->Rename(Path("target_test.txt"), Path("away.txt")));
  ExpectError(resume("half", {}), 1, {"stages[1] (evaluate)", "target_test.txt", "No such file"});
  PROTOPAGE_ASSERT_OK(fs()->Rename(Path("away.txt"), Path("target_test.txt")));
  ExpectError(resume("half", {"loss.scale=7", "data.image_size=24"}), 2,
              {"--resume", "differs", "half: data.image_size; only"});
  // Another list, which the stage before has not used: the new command goes on at once.
  Write("other_test.txt", list);
  const std::vector<std::string> mended =
      resume("half", {"data.paths.target_test=" + Path("other_test.txt")});
  const ProtopageOutcome outcome = RunProtopage(mended);
  EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
  EXPECT_TRUE(absl::StrContains(outcome.err,
                                "changed, as no step has used it: "
                                "data.paths.target_test "))
      << outcome.err;
  EXPECT_TRUE(absl::StrContains(Read("half/config.json"), "other_test.txt"));
  // From then on it is the run's.
  ExpectError(resume("half", {}), 2, {"--resume", "differs", "data.paths.target_test"});
}

// An error before the first step leaves nothing that the mended command stumbles over.
TEST_F(BadInputTest, AMendedCommandNeedsNoNewRun) {
  Write("nowhere.txt", absl::StrReplaceAll(Read("target_train.txt"), {{"images/", "nowhere/"}}));
  const std::vector<std::string> wrong =
      TrainWith({"data.paths.target_train=" + Path("nowhere.txt")});
  ExpectError(wrong, 1,
              {"stages[0] (imprint): split target_train: ", "nowhere/target_train_0_0.png",
               "No such file", "23 more of 24 images cannot be read"});
  const ProtopageOutcome outcome = RunProtopage(TrainWith({}));
  EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
  std::filesystem::remove_all(Path("new"));
}

TEST_F(BadInputTest, WhatNoStageCanRunWithIsFoundBeforeTheFirst) {
  const std::string png = Read("images/target_test_0_0.png");
  const std::string target_test = Read("target_test.txt");
  const auto with_test = [&](const std::string& list) {
    Write("bad_test.txt", list);
    return TrainWith({"data.paths.target_test=" + Path("bad_test.txt")}, "long.json");
  };
  Write("cut.png", png.substr(0, png.size() / 2));
  Write("zero.png", "");
  Write("text.jpg", "no picture");
  // A header of a thousand million pixels.
  Write("bomb.png", absl::HexStringToBytes("89504e470d0a1a0a0000000d494844520000"
                                           "7d0000007d000800000000a6e98dd10000000149444154"));
  PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("folder.png")));
  ASSERT_EQ(mkfifo(Path("pipe.png").c_str(), 0600), 0);
  std::filesystem::create_symlink("gone.png", Path("dangling.png"));
  std::filesystem::create_symlink("loop.png", Path("loop.png"));
  const struct {
    const char* name;
    std::vector<std::string> expected;
  } kCases[] = {
      {"cut.png", {"cut.png: damaged PNG"}},
      {"zero.png", {"zero.png: the file is empty"}},
      {"text.jpg", {"text.jpg: neither a JPEG nor a PNG"}},
      {"bomb.png", {"bomb.png: 32000 x 32000 pixels are more than the limit"}},
      {"folder.png", {"folder.png: a folder, expected an image file"}},
      {"pipe.png", {"pipe.png: a pipe"}},
      {"dangling.png", {"dangling.png", "No such file"}},
      {"loop.png", {"loop.png", "symbolic links"}},
  };
  for (const auto& c : kCases) {
    std::vector<std::string> expected = c.expected;
    expected.push_back("stages[4] (evaluate): split target_test: ");
    const std::vector<std::string> arguments =
        with_test(absl::StrCat(target_test, c.name, "\t0\tspot\n"));
    const bool wrong_usage =
        c.name == std::string("folder.png") || c.name == std::string("pipe.png");
    ExpectError(arguments, wrong_usage ? 2 : 1, expected);
  }
  const struct {
    std::vector<std::string> set;
    std::vector<std::string> expected;
  } kConfigs[] = {
      {{"prototypes.index=ivf_sq8", "prototypes.index_lists=5000"},
       {"stages[3] (dominant): prototypes.index ivf_sq8, index_lists: 5000 lists for 8 classes"}},
      {{"prototypes.index=ivf_pq", "model.embedding_dim=1"},
       {"stages[3] (dominant): prototypes.index ivf_pq", "dim 1"}},
      {{"model.embedding_dim=20000", "prototypes.cache_bytes=1048576"},
       {"stages[3] (dominant): prototypes.cache_bytes: found 1048576", "6 classes of a step"}},
      {{"stages[3].steps=0", "stages[3].epochs=1e17"}, {"stages[3].epochs: found 1e+17"}},
      {{"stages[3].steps=0", "stages[3].epochs=1e15"},
       {"stages[3] (dominant): epochs: found 1e+15"}},
  };
  for (const auto& c : kConfigs) {
    ExpectError(TrainWith(c.set, "long.json"), 2, c.expected);
    std::vector<std::string> plan = {"plan", "--config=" + Path("long.json")};
    for (const std::string& set : c.set) plan.push_back("--set=" + set);
    ExpectError(plan, 2, c.expected);
  }
  // eval looks at the images as well, before it computes anything.
  Write("bad_test.txt", target_test + "cut.png\t0\tspot\n");
  ExpectError(
      {"eval", "--run=" + Path("run"), "--set=data.paths.target_test=" + Path("bad_test.txt")}, 1,
      {"split target_test: ", "cut.png: damaged PNG"});
}

// Pipes, links and other files among the images of a folder.
TEST_F(BadInputTest, OddFilesInFolders) {
  PROTOPAGE_ASSERT_OK(WriteTinyFolder(Path("odd"), 3, 0, 2, kTinySide));
  std::filesystem::create_symlink("..", Path("odd/c01/up"));
  ASSERT_EQ(mkfifo(Path("odd/c01/x.png").c_str(), 0600), 0);
  const std::string out = Path("odd.npy");
  const ProtopageOutcome embedded =
      RunProtopage({"embed", "--run=" + Path("run"), "--input=" + Path("odd"), "--output=" + out});
  EXPECT_EQ(embedded.exit_status, 0) << embedded.err;
  EXPECT_TRUE(absl::StrContains(embedded.err,
                                "left out 1 that is no plain file (c01/x.png), "
                                "1 link to a folder above it (c01/up)"))
      << embedded.err;
  EXPECT_TRUE(absl::StrContains(embedded.err, "wrote 6 embeddings")) << embedded.err;
  PROTOPAGE_ASSERT_OK(fs()->Remove(out));
  const std::vector<std::string> train =
      TrainWith({"data.type=folder", "data.paths.target_train=" + Path("odd"),
                 "data.paths.target_test=" + Path("folder"), "data.paths.unseen="});
  const ProtopageOutcome trained = RunProtopage(train);
  EXPECT_EQ(trained.exit_status, 0) << trained.err;
  EXPECT_TRUE(absl::StrContains(trained.err, "1 other file (c01/up), 1 that is no plain file"))
      << trained.err;
  std::filesystem::remove_all(Path("new"));
  std::filesystem::create_symlink("/mnt/gone/c9", Path("odd/c9"));
  ExpectError(train, 1, {"data.paths.target_train: ", "odd/c9: a link to something that is not"});
}

TEST_F(BadInputTest, FilesOfARun) {
  const std::string state = *checkpoint_ + "/state.json";
  const std::string model = *checkpoint_ + "/model.h5";
  const std::string prototypes = "prototypes.h5";
  const std::string place = *checkpoint_ + "/prototypes.json";
  using Change = std::function<std::string(const std::string&)>;
  const Change removed = nullptr;
  const Change cut = [](const std::string& text) { return text.substr(0, text.size() / 2); };
  const auto text = [](const std::string& with) {
    return Change([with](const std::string&) { return with; });
  };
  const struct {
    std::string file;
    Change change;
    int exit_status;
    std::vector<std::string> expected;
  } kCases[] = {
      {"config.json", removed, 1, {"holds no run", "config.json"}},
      {"config.json", cut, 1, {"config.json", "not valid JSON"}},
      {"config.json", text("{\"a\": 1}"), 2, {"config.json", "unknown key a"}},
      {"config.json", text("[]"), 2, {"config.json", "expected an object"}},
      {state, removed, 1, {"state.json", "No such file"}},
      {state, cut, 1, {"state.json", "not valid JSON"}},
      {state, text("[]"), 1, {"state.json is damaged"}},
      {state, text("{\"stage\": \"one\"}"), 1, {"state.json is damaged", "string"}},
      {state,
       text(R"({"stage": 9, "stage_step": 0, "run_step": 0, "skipped_steps": 0, "head_classes": 0,
                "prototypes": false, "reports": []})"),
       1,
       {"state.json is damaged", "out of range"}},
      {model, removed, 1, {"model.h5", "No such file"}},
      {model, cut, 1, {"model.h5", "damaged or cut off"}},
      {model, text(""), 2, {"model.h5", "not a model checkpoint"}},
      {model, text(std::string(4096, 'x')), 2, {"model.h5", "not a model checkpoint"}},
      {prototypes, removed, 1, {"prototypes.h5", "No such file"}},
      {prototypes, cut, 1, {"prototypes.h5"}},
      {prototypes, text(""), 1, {"prototypes.h5"}},
      {prototypes, text(std::string(4096, 'x')), 1, {"prototypes.h5"}},
      {place, removed, 1, {"has no prototypes.json"}},
      {place, cut, 1, {"prototypes.json", "not valid JSON"}},
      {place, text("[]"), 1, {"prototypes.json is damaged"}},
      {place, text(R"({"generation": 1, "log_checkpoint": 999})"), 1, {"log", "checkpoint 999"}},
  };
  for (const auto& c : kCases) {
    const std::string run = CopyRun("damaged");
    MakeFormat1("damaged");
    if (c.change == nullptr) {
      PROTOPAGE_ASSERT_OK(fs()->Remove(JoinPath(run, c.file)));
    } else {
      Write("damaged/" + c.file, c.change(Read("damaged/" + c.file)));
    }
    ExpectError({"eval", "--run=" + run}, c.exit_status, c.expected);
    ExpectError({"embed", "--run=" + run, "--input=" + Path("images"), "--output=" + Path("o.npy")},
                c.exit_status, c.expected);
    std::filesystem::remove_all(run);
  }
  // In a run of format 2, the list of files in DONE tells before anything is read.
  const std::string whole = CopyRun("listed");
  for (const std::string& file : {state, model, place, *checkpoint_ + "/DONE"}) {
    const std::string text = Read("listed/" + file);
    const auto expect = [&](const std::string& what) {
      ExpectError({"eval", "--run=" + whole}, 1, {file, what, "--checkpoint="});
    };
    std::string flipped = text;
    flipped[text.size() / 2] = static_cast<char>(flipped[text.size() / 2] ^ 1);
    Write("listed/" + file, flipped);
    expect("damaged");
    Write("listed/" + file, cut(text));
    expect("damaged");
    Write("listed/" + file, text);
  }
  EXPECT_EQ(RunProtopage({"eval", "--run=" + whole}).exit_status, 0);
  // Without its mark a checkpoint does not count: the one before it does, or none is left.
  const std::string run = CopyRun("no_checkpoint");
  PROTOPAGE_ASSERT_OK(fs()->Remove(JoinPath(run, *checkpoint_ + "/DONE")));
  EXPECT_EQ(RunProtopage({"eval", "--run=" + run}).exit_status, 0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto checkpoints, fs()->List(run + "/checkpoints"));
  ASSERT_EQ(checkpoints.size(), 2u);
  PROTOPAGE_ASSERT_OK(fs()->Remove(absl::StrCat(run, "/checkpoints/", checkpoints[0], "/DONE")));
  ExpectError({"eval", "--run=" + run}, 1, {"no_checkpoint holds no complete checkpoint"});
}

TEST_F(BadInputTest, InitFrom) {
  const auto from = [&](const std::string& path) { return TrainWith({"init_from=" + Path(path)}); };
  ExpectError(from("none"), 1, {"init_from: ", "none: no such file", "RUN/checkpoints/NUMBER"});
  ExpectError(from("images"), 2,
              {"init_from: ", "images", "neither a run nor a complete checkpoint"});
  ExpectError(from("tiny.json"), 2, {"init_from: ", "tiny.json is not a model checkpoint"});
  const std::string run = CopyRun("init");
  PROTOPAGE_ASSERT_OK(fs()->Remove(JoinPath(run, *checkpoint_ + "/DONE")));
  ExpectError(from("init/" + *checkpoint_), 2, {"init_from: ", "complete checkpoint"});
  // A net of another shape.
  std::vector<std::string> other = from("run");
  other.push_back("--set=model.embedding_dim=8");
  ExpectError(other, 1, {"init_from: ", "model.h5", "embedding"});
}

TEST_F(BadInputTest, PrototypesInitFrom) {
  const auto from = [&](const std::string& path) {
    return TrainWith({"prototypes.init_from=" + Path(path)});
  };
  ExpectError(from("none.h5"), 1, {"prototypes.init_from: ", "none.h5"});
  ExpectError(from("tiny.json"), 1, {"prototypes.init_from: ", "tiny.json", "HDF5"});
  ExpectError(from("run/prototypes.h5"), 2,
              {"prototypes.init_from: ", "is the file of a run", "protopage export"});
}

TEST_F(BadInputTest, DroppedClassesThatTrainingNeeds) {
  const std::string store = Path("few.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  ASSERT_EQ(RunProtopage({"classes", "drop", "--store=" + store, "--classes=1,2,3"}).exit_status,
            0);
  ExpectError(TrainWith({"prototypes.init_from=" + store}, "long.json"), 2,
              {"stages[3] (dominant)", "selection.classes_per_step is 6", "can be drawn, 5"});
  Write("dropped_test.txt", "images/target_test_1_0.png\t1\tspot\n");
  ExpectError(TrainWith({"prototypes.init_from=" + store,
                         "data.paths.target_test=" + Path("dropped_test.txt")}),
              2, {"stages[1] (evaluate)", "all of dropped classes"});
}

TEST_F(BadInputTest, InspectAndExport) {
  ExpectError({"inspect"}, 2, {"--store=FILE or --run=DIR", "found neither"});
  ExpectError({"inspect", "--store=" + Path("x.h5"), "--run=" + Path("run")}, 2, {"found both"});
  ExpectError({"inspect", "--run=" + Path("run"), "--pairs=-1"}, 2, {"--pairs", "found -1"});
  ExpectError({"inspect", "--store=" + Path("none.h5")}, 1, {"none.h5", "No such file"});
  ExpectError({"inspect", "--run=" + Path("none")}, 1, {"none holds no run"});
  ExpectError({"inspect", "--run=" + Path("run"), "--checkpoint=-2"}, 2,
              {"--checkpoint: found \"-2\", expected an integer at least -1"});
  ExpectError({"check"}, 2, {"--run=DIR or --store=FILE, found neither"});
  ExpectError({"check", "--store=" + Path("run/prototypes.h5")}, 2, {"is the file of a run"});
  ExpectError({"check", "--store=" + Path("none.h5")}, 1, {"none.h5", "No such file"});
  Write("text.h5", "this is no HDF5 file");
  ExpectError({"inspect", "--store=" + Path("text.h5")}, 1, {"text.h5", "HDF5"});
  ExpectError({"inspect", "--store=" + Path("run/" + *checkpoint_ + "/model.h5")}, 1,
              {"model.h5", "not of protopage"});
  const auto write = [&](const std::string& run, const std::string& output,
                         const std::string& format) {
    return std::vector<std::string>{"export", "--run=" + Path(run), "--output=" + Path(output),
                                    "--format=" + format};
  };
  ExpectError({"export", "--run=" + Path("run")}, 2, {"needs --output=FILE"});
  ExpectError({"export", "--run=" + Path("run"), "--output=" + Path("w.csv")}, 2,
              {"--output: ", "w.csv", ".npy, .h5 or .hdf5"});
  ExpectError(write("run", "w", "csv"), 2, {"--format: found \"csv\", expected npy or hdf5"});
  ExpectError(write("run", "w.npy", "onnx"), 2, {"onnx is not there yet"});
  ExpectError(write("run", "run/prototypes.h5", "hdf5"), 2, {"is a file of the run"});
  ExpectError(write("run", "run/log/lock", "npy"), 2, {"is a file of the run"});
  ExpectError({"export", "--run=" + Path("run"), "--output=/dev/null", "--format=npy"}, 2,
              {"/dev/null is a pipe, a socket or a device"});
  ExpectError(write("run", "none/w.npy", "npy"), 1, {"none/w.npy", "No such file"});
  ExpectError(write("run", "none/w.h5", "hdf5"), 1, {"none/w.h5", "No such file"});
  ExpectError(write("none", "w.h5", "hdf5"), 1, {"none holds no run"});
  // A run that has not come to its prototypes.
  const std::string young = CopyRun("young");
  MakeFormat1("young");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), JoinPath(young, *checkpoint_ + "/state.json"),
                                          "{\"prototypes\": false}"));
  ExpectError({"inspect", "--run=" + young}, 1, {"has no prototypes yet"});
  ExpectError(write("young", "w.npy", "npy"), 1, {"has no prototypes yet"});
}

TEST_F(BadInputTest, Classes) {
  const std::string store = Path("own.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  const auto drop = [&](const std::string& file, const std::string& ids) {
    return std::vector<std::string>{"classes", "drop", "--store=" + file, "--classes=" + ids};
  };
  const auto merge = [&](const std::string& file, const std::string& into,
                         const std::string& from) {
    return std::vector<std::string>{"classes", "merge", "--store=" + file, "--into=" + into,
                                    "--from=" + from};
  };
  const auto add = [&](const std::string& file, const std::string& input) {
    return std::vector<std::string>{"classes", "add", "--store=" + file, "--run=" + Path("run"),
                                    "--input=" + Path(input)};
  };
  ASSERT_EQ(RunProtopage(drop(store, "5")).exit_status, 0);
  ExpectError({"classes"}, 2, {"unknown verb \"classes\"", "classes add"});
  ExpectError({"classes", "drop", "--store=" + store}, 2,
              {"--classes or --name: found neither, expected at least one"});
  ExpectError({"classes", "drop", "--store=" + store, "--name=seven"}, 2,
              {"--name: found \"seven\", expected the name of a class of", "own.h5"});
  ExpectError({"classes", "drop", "--store=" + store, "--name=5"}, 2, {"--name: found \"5\""});
  ExpectError({"classes", "merge", "--store=" + store, "--into=1,2", "--from=3"}, 2,
              {"--into: found 2 classes, expected one"});
  ExpectError(drop(store, "1,two"), 2, {"--classes: found \"1,two\"", "3,7,12"});
  ExpectError(drop(store, "8"), 2, {"own.h5: found class 8, expected 0 to 7"});
  ExpectError(drop(store, "5"), 2, {"class 5 was dropped before"});
  ExpectError(drop(store, "1,1"), 2, {"id 1 at positions 0 and 1"});
  ExpectError(drop(store, "0,1,2,3,4,6,7"), 2, {"no class would be left"});
  ExpectError(drop(Path("none.h5"), "1"), 1, {"none.h5", "No such file"});
  const std::string of_run = Path("run/prototypes.h5");
  const std::vector<std::string> own = {"--store: ", "the file of a run", "protopage export"};
  ExpectError(drop(of_run, "1"), 2, own);
  ExpectError(merge(of_run, "1", "2"), 2, own);
  ExpectError(add(of_run, "folder"), 2, own);
  ExpectError(merge(store, "one", "2"), 2, {"--into: found \"one\"", "3,7,12"});
  ExpectError(merge(store, "1", "2,1"), 2, {"id 1 at positions"});
  ExpectError(merge(store, "5", "2"), 2, {"class 5 was dropped before"});
  ExpectError(merge(store, "1", "5"), 2, {"class 5 was dropped before"});
  ExpectError(add(store, "none"), 1, {"--input: ", "none", "No such file"});
  ExpectError(add(store, "empty"), 1, {"--input: ", "empty: no image found"});
  Write("gap.txt", "images/unseen_0_0.png\t0\nimages/unseen_0_0.png\t2\n");
  ExpectError(add(of_run, "gap.txt"), 2, own);
  // One damaged image, or a class that the store has: none is added.
  PROTOPAGE_ASSERT_OK(PrototypeStore::Reserve(store, 20, nullptr, /*name_bytes=*/20));
  ExpectError(add(store, "gap.txt"), 2,
              {"--input: ", "gap.txt", "class \"0\" is class 0 of", "and so are 1 more"});
  const std::string good = Read("images/unseen_0_0.png");
  Write("broken/a/0.png", good);
  Write("broken/b/0.png", good.substr(0, good.size() / 2));
  const ProtopageOutcome outcome = RunProtopage(add(store, "broken"));
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_TRUE(absl::StrContains(outcome.err, "broken/b/0.png: damaged PNG")) << outcome.err;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, PrototypeStore::Open(store, {}));
  EXPECT_EQ(opened->num_classes(), 8);
}

}  // namespace
}  // namespace protopage
