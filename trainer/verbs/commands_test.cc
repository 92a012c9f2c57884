// The verbs as a user runs them: `protopage VERB --flags`, in this process, on real files.
#include "protopage/trainer/verbs/commands.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/cifar_type.h"
#include "protopage/data/decode_image.h"
#include "protopage/eval/report.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/testing/run_protopage.h"
#include "protopage/trainer/testing/test_images.h"
#include "protopage/trainer/verbs/job.h"
#include "protopage/trainer/verbs/train_verb.h"

namespace protopage {
namespace {

class CommandsTest : public testing::Test {
 protected:
  // One trained run serves all tests.
  static void SetUpTestSuite() {
    dir_ = new std::string(absl::StrCat(testing::TempDir(), "/commands_test_", getpid()));
    PROTOPAGE_ASSERT_OK(WriteTinyLists(*dir_));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path("tiny.json"), TinyListConfig(*dir_)));
    trained_ = new ProtopageOutcome(
        RunProtopage({"train", "--config=" + Path("tiny.json"), "--out=" + Path("run"), "--json"}));
    ASSERT_EQ(trained_->exit_status, 0) << trained_->err;
  }

  static FileSystem* fs() { return DefaultFileSystem(); }
  static std::string Path(const std::string& name) { return JoinPath(*dir_, name); }

  static nlohmann::ordered_json Parsed(const std::string& text) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << text;
    return json;
  }

  static std::string* dir_;
  static ProtopageOutcome* trained_;
};

std::string* CommandsTest::dir_ = nullptr;
ProtopageOutcome* CommandsTest::trained_ = nullptr;

TEST_F(CommandsTest, TrainPrintsWhatTheRunKeeps) {
  const nlohmann::ordered_json printed = Parsed(trained_->out);
  ASSERT_EQ(printed.size(), 2u);
  EXPECT_EQ(printed[0].at("name"), "source");
  EXPECT_EQ(printed[1].at("name"), "dominant");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string results,
                                 ReadFile(fs(), Path("run/results.json")));
  EXPECT_EQ(Parsed(results).at("evaluations"), printed);
}

TEST_F(CommandsTest, TrainPrintsATableOfItsEvaluations) {
  const ProtopageOutcome outcome =
      RunProtopage({"train", "--config", Path("tiny.json"), "--out", Path("table")});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  TrainResult result;
  for (const auto& json : Parsed(trained_->out)) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(EvalReport report, EvalReportFromJson(json));
    result.reports.push_back(std::move(report));
  }
  // The same config gives the same figures, and the last column's details follow.
  EXPECT_EQ(outcome.out, FormatTrainResult(result));
  EXPECT_TRUE(absl::StrContains(outcome.out, FormatReport(result.reports[1]))) << outcome.out;
}

// A host of our libraries may use a locale in which 0.5 is written 0,5. The test makes one, where
// the tool and its sources are installed.
TEST_F(CommandsTest, TheLocaleChangesNoNumbers) {
  const std::string make =
      absl::StrCat("localedef -i de_DE -f UTF-8 ", Path("de_DE.UTF-8"), " >/dev/null 2>&1");
  ASSERT_NE(std::system(make.c_str()), -1);  // Its status, one for warnings too, tells nothing.
  setenv("LOCPATH", dir_->c_str(), 1);
  if (setlocale(LC_ALL, "de_DE.UTF-8") == nullptr) GTEST_SKIP() << "no locale with a comma";
  EXPECT_STREQ(localeconv()->decimal_point, ",");
  const ProtopageOutcome text = RunProtopage({"eval", "--run=" + Path("run")});
  const ProtopageOutcome json =
      RunProtopage({"eval", "--run=" + Path("run"), "--json", "--set=model.dropout=0.25"});
  const ProtopageOutcome trained =
      RunProtopage({"train", "--config=" + Path("tiny.json"), "--out=" + Path("comma"), "--json"});
  setlocale(LC_ALL, "C");
  EXPECT_EQ(text.out, RunProtopage({"eval", "--run=" + Path("run")}).out) << text.err;
  EXPECT_EQ(
      json.out,
      RunProtopage({"eval", "--run=" + Path("run"), "--json", "--set=model.dropout=0.25"}).out)
      << json.err;
  EXPECT_EQ(trained.out, trained_->out) << trained.err;
  for (const std::string name : {"config.json", "results.json"}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string with_comma,
                                   ReadFile(fs(), Path("comma/" + name)));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string without, ReadFile(fs(), Path("run/" + name)));
    // But for the seal, and the id of the run.
    const auto content = [](const std::string& text) {
      nlohmann::json json = ParseJson(text, "file").value();
      RemoveFileFields(&json);
      return json.dump();
    };
    EXPECT_EQ(content(with_comma), content(without));
  }
}

TEST_F(CommandsTest, EvalRepeatsTheLastEvaluation) {
  const ProtopageOutcome json = RunProtopage({"eval", "--run=" + Path("run"), "--json"});
  ASSERT_EQ(json.exit_status, 0) << json.err;
  nlohmann::ordered_json expected = Parsed(trained_->out)[1];
  expected["name"] = "target_test";
  EXPECT_EQ(Parsed(json.out), expected);
  EXPECT_EQ(expected.at("closed_set").at("num_classes"), kTinyTargetClasses);

  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const EvalReport report, EvalReportFromJson(expected));
  const ProtopageOutcome text = RunProtopage({"eval", "--run=" + Path("run")});
  ASSERT_EQ(text.exit_status, 0) << text.err;
  EXPECT_EQ(text.out, FormatReport(report));
}

TEST_F(CommandsTest, EvalOfASourceSplitUsesTheHead) {
  const ProtopageOutcome outcome =
      RunProtopage({"eval", "--run=" + Path("run"), "--split=source_test", "--json"});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  const nlohmann::ordered_json report = Parsed(outcome.out);
  EXPECT_EQ(report.at("closed_set").at("num_classes"), kTinySourceClasses);
  EXPECT_FALSE(report.contains("verification"));
}

TEST_F(CommandsTest, EvalTakesOtherImages) {
  const ProtopageOutcome outcome =
      RunProtopage({"eval", "--run=" + Path("run"), "--json", "--set",
                    "data.paths.target_test=" + Path("target_train.txt")});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  EXPECT_EQ(Parsed(outcome.out).at("closed_set").at("samples"), 3 * kTinyTargetClasses);
}

// The rows of a .npy file [rows, dim] of little-endian float32.
RowMatrixXf ParseNpy(const std::string& bytes, int64_t rows, int64_t dim) {
  const std::string shape = absl::StrCat("'shape': (", rows, ", ", dim, ")");
  EXPECT_TRUE(absl::StartsWith(bytes, "\x93NUMPY"));
  EXPECT_TRUE(absl::StrContains(bytes.substr(0, 128), shape)) << bytes.substr(0, 128);
  RowMatrixXf matrix = RowMatrixXf::Zero(rows, dim);
  EXPECT_EQ(bytes.size(), 128 + rows * dim * sizeof(float));
  if (bytes.size() == 128 + rows * dim * sizeof(float)) {
    std::memcpy(matrix.data(), bytes.data() + 128, bytes.size() - 128);
  }
  return matrix;
}

TEST_F(CommandsTest, EmbedWritesTheNetsOwnFeaturesNormalised) {
  PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("photos")));
  const std::vector<std::string> names = {"target_test_5_0.png", "target_test_0_1.png",
                                          "unseen_2_0.png"};
  std::string list;
  for (const std::string& name : names) absl::StrAppend(&list, "images/", name, "\n");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), Path("photos.txt"), list));
  const ProtopageOutcome outcome =
      RunProtopage({"embed", "--run=" + Path("run"), "--input=" + Path("photos.txt"),
                    "--output=" + Path("photos.npy")});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string npy, ReadFile(fs(), Path("photos.npy")));
  const RowMatrixXf written = ParseNpy(npy, 3, 16);

  // Without loader, embedder and writer: decode, forward, normalise, one image at a time.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config, ReadRunConfig(fs(), Path("run"), {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, LoadRun(fs(), Path("run"), config));
  Backend* backend = session->backend();
  for (size_t i = 0; i < names.size(); ++i) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string png,
                                   ReadFile(fs(), Path("images/" + names[i])));
    Image image;
    PROTOPAGE_ASSERT_OK(DecodeImage(png, names[i], {}, &image));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor input,
                                   backend->Allocate(DType::kUint8, {1, kTinySide, kTinySide, 3}));
    PROTOPAGE_ASSERT_OK(backend->CopyToDevice(image.pixels.data(), input));
    Tensor output;
    PROTOPAGE_ASSERT_OK(session->net()->Forward(input, {}, &output));
    std::vector<float> feature(16);
    PROTOPAGE_ASSERT_OK(backend->CopyToHost(output, feature.data()));
    double norm = 0;
    for (const float f : feature) norm += double{f} * f;
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0);
    for (int d = 0; d < 16; ++d) EXPECT_NEAR(written(i, d), feature[d] / norm, 2e-6) << i;
  }
}

TEST_F(CommandsTest, EmbedNamesTheRowsOfAnHdf5File) {
  const ProtopageOutcome outcome = RunProtopage(
      {"embed", "--run=" + Path("run"), "--input=" + Path("images"), "--output=" + Path("all.h5")});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> images, fs()->List(Path("images")));
  EXPECT_TRUE(absl::StrContains(
      outcome.err,
      absl::StrCat("wrote ", images.size(), " embeddings of 16 floats to ", Path("all.h5"))))
      << outcome.err;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string hdf5, ReadFile(fs(), Path("all.h5")));
  EXPECT_TRUE(absl::StartsWith(hdf5, "\x89HDF\r\n\x1a\n"));
  // Names are strings of the file's heap, as they are.
  for (const std::string& image : images) {
    EXPECT_TRUE(absl::StrContains(hdf5, Path("images/" + image))) << image;
  }
  EXPECT_FALSE(fs()->Exists(Path(absl::StrCat("all.h5.", getpid(), ".tmp"))));
}

TEST_F(CommandsTest, OutIsTheFirstFreeRunWhereTheUserStands) {
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", dir_->c_str(), 1), 0);
  PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(Path("runs/tiny-1")));
  const ProtopageOutcome outcome =
      RunProtopage({"train", "--config=tiny.json", "--set", "stages=[{\"name\":\"imprint\"}]",
                    "--set", "data.paths.target_train=target_train.txt"});
  ASSERT_EQ(unsetenv("BUILD_WORKING_DIRECTORY"), 0);
  ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(fs()->Exists(Path("runs/tiny-2/prototypes.h5")));
}

TEST_F(CommandsTest, InitFromTakesARunACheckpointOrAFile) {
  // A run that only imprints keeps the net that it was given.
  const auto net_from = [&](const std::string& name, const std::string& init_from) {
    const ProtopageOutcome outcome =
        RunProtopage({"train", "--config=" + Path("tiny.json"), "--out=" + Path(name), "--set",
                      "stages=[{\"name\":\"imprint\"}]", "--set", "init_from=" + init_from});
    EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
    const absl::StatusOr<std::vector<std::string>> checkpoints =
        fs()->List(Path(name + "/checkpoints"));
    PROTOPAGE_EXPECT_OK(checkpoints);
    const absl::StatusOr<std::string> model =
        ReadFile(fs(), Path(absl::StrCat(name, "/checkpoints/", checkpoints->back(), "/model.h5")));
    PROTOPAGE_EXPECT_OK(model);
    return *model;
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> checkpoints,
                                 fs()->List(Path("run/checkpoints")));
  ASSERT_GE(checkpoints.size(), 2u);
  const std::string newest = Path("run/checkpoints/" + checkpoints.back());
  const std::string older = Path("run/checkpoints/" + checkpoints.front());
  const std::string of_run = net_from("from_run", Path("run"));
  EXPECT_EQ(net_from("from_newest", newest), of_run);
  EXPECT_EQ(net_from("from_file", newest + "/model.h5"), of_run);
  // The dominant stage's end and the evaluation behind it have the same net.
  EXPECT_EQ(net_from("from_older", older), of_run);
}

TEST_F(CommandsTest, JobsTakePresetsAndTheirDataDir) {
  const std::string preset =
      R"({"data": {"type": "cifar"}, "stages": [{"name": "imprint"}, {"name": "evaluate"}]})";
  PROTOPAGE_ASSERT_OK(WriteTinyCifar(Path("cifar"), 1));
  Job job;
  job.name = "job";
  job.presets = {{"default", "{}"}, {"short", preset}};
  job.needs_data_dir = true;
  job.print = [](const TrainResult& result) {
    return absl::StrCat("reports: ", result.reports.size(), "\n");
  };
  testing::internal::CaptureStdout();
  const int exit_status = RunJob(job, {"--preset=short", "--data_dir=" + Path("cifar"),
                                       "--out=" + Path("job"), "--set", "model.embedding_dim=8"});
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_EQ(exit_status, 0);
  EXPECT_TRUE(absl::EndsWith(out, "reports: 1\n")) << out;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config, ReadRunConfig(fs(), Path("job"), {}));
  EXPECT_EQ(config.data.options.Get<CifarConfig>().data_dir, Path("cifar"));
  EXPECT_EQ(config.model.embedding_dim, 8);
}

TEST_F(CommandsTest, HelpAndVersionSayWhatThereIs) {
  const ProtopageOutcome help = RunProtopage({"train", "--help"});
  EXPECT_EQ(help.exit_status, 0);
  for (const char* text :
       {"--config=FILE", "selection.classes_per_step", "RUN/checkpoints/NUMBER"}) {
    EXPECT_TRUE(absl::StrContains(help.out, text)) << text;
  }
  const ProtopageOutcome version = RunProtopage({"--version"});
  EXPECT_EQ(version.exit_status, 0);
  EXPECT_TRUE(absl::StartsWith(version.out, "protopage "));
}

TEST_F(CommandsTest, ExportWritesThePrototypesAsAnArrayAndAsAStore) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainConfig config, ReadRunConfig(fs(), Path("run"), {}));
  RowMatrixXf want(kTinyTargetClasses, 16);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto session, LoadRun(fs(), Path("run"), config));
    PROTOPAGE_ASSERT_OK(session->prototypes()->store().ReadRange(0, want));
  }
  for (const std::string name : {"w.npy", "array"}) {
    const ProtopageOutcome npy =
        RunProtopage({"export", "--run=" + Path("run"), "--output=" + Path(name),
                      name == "array" ? "--format=npy" : "--format="});
    ASSERT_EQ(npy.exit_status, 0) << npy.err;
    EXPECT_EQ(npy.out, "");
    EXPECT_TRUE(absl::StrContains(npy.err, "wrote 8 prototypes of 16 floats, of "));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(fs(), Path(name)));
    EXPECT_EQ(ParseNpy(bytes, kTinyTargetClasses, 16), want);
  }
  // Over an older one.
  for (int i = 0; i < 2; ++i) {
    const ProtopageOutcome hdf5 =
        RunProtopage({"export", "--run=" + Path("run"), "--output=" + Path("w.h5")});
    ASSERT_EQ(hdf5.exit_status, 0) << hdf5.err;
  }
  // No file of a run any more: it may be written.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto store, PrototypeStore::Open(Path("w.h5"), {}));
  RowMatrixXf rows(kTinyTargetClasses, 16);
  PROTOPAGE_ASSERT_OK(store->ReadRange(0, rows));
  EXPECT_EQ(rows, want);
  StepRows step;
  PROTOPAGE_ASSERT_OK(store->GatherStep({0, 1, 2, 3, 4, 5, 6, 7}, &step));
  EXPECT_GE(*std::max_element(step.last_step.begin(), step.last_step.end()), 2);
  EXPECT_GT(step.state.norm(), 0);
  PROTOPAGE_EXPECT_OK(store->Scatter({1}, rows.row(0)));
}

TEST_F(CommandsTest, ClassesAreAddedDroppedAndMerged) {
  const std::string store = Path("classes.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  PROTOPAGE_ASSERT_OK(WriteTinyFolder(Path("new"), 3, 0, 2, kTinySide));
  const ProtopageOutcome added =
      RunProtopage({"classes", "add", "--store=" + store, "--run=" + Path("run"),
                    "--input=" + Path("new"), "--json"});
  ASSERT_EQ(added.exit_status, 0) << added.err;
  const nlohmann::ordered_json json = Parsed(added.out);
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[1].at("name"), "c01");
  EXPECT_EQ(json[1].at("id"), kTinyTargetClasses + 1);
  EXPECT_EQ(json[1].at("images"), 2);
  // Its row is the mean of what `embed` makes of its images.
  ASSERT_EQ(RunProtopage({"embed", "--run=" + Path("run"), "--input=" + Path("new/c01"),
                          "--output=" + Path("c01.npy")})
                .exit_status,
            0);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string npy, ReadFile(fs(), Path("c01.npy")));
  const RowMatrixXf features = ParseNpy(npy, 2, 16);
  RowMatrixXf row(1, 16);
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, PrototypeStore::Open(store, {}));
    EXPECT_EQ(opened->num_classes(), kTinyTargetClasses + 3);
    PROTOPAGE_ASSERT_OK(opened->Gather({kTinyTargetClasses + 1}, row));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, opened->ReadNames(kTinyTargetClasses - 1, 4));
    EXPECT_EQ(names, (std::vector<std::string>{"7", "c00", "c01", "c02"}));
  }
  const ProtopageOutcome inspected =
      RunProtopage({"inspect", "--store=" + store, "--pairs=100", "--json"});
  ASSERT_EQ(inspected.exit_status, 0) << inspected.err;
  bool seen = false;
  const nlohmann::ordered_json found = Parsed(inspected.out);
  for (const auto& pair : found.at("pairs")) {
    if (pair.at("classes") != nlohmann::ordered_json({kTinyTargetClasses, kTinyTargetClasses + 1}))
      continue;
    seen = true;
    EXPECT_EQ(pair.at("names"), nlohmann::ordered_json({"c00", "c01"}));
  }
  EXPECT_TRUE(seen);
  EXPECT_LT((row.row(0) - features.colwise().sum().normalized()).norm(), 1e-6f);

  const ProtopageOutcome dropped =
      RunProtopage({"classes", "drop", "--store=" + store, "--classes=2", "--name=c01"});
  ASSERT_EQ(dropped.exit_status, 0) << dropped.err;
  EXPECT_TRUE(absl::StrContains(dropped.err, "has 9 classes, and 2 that were dropped"))
      << dropped.err;
  const ProtopageOutcome merged = RunProtopage(
      {"classes", "merge", "--store=" + store, "--into_name=c00", "--from=0", "--from_name=1"});
  ASSERT_EQ(merged.exit_status, 0) << merged.err;
  EXPECT_TRUE(absl::StrContains(merged.err, "has 7 classes, and 4 that were dropped"));
  // Two of the names are taken.
  const ProtopageOutcome taken = RunProtopage(
      {"classes", "add", "--store=" + store, "--run=" + Path("run"), "--input=" + Path("new")});
  EXPECT_EQ(taken.exit_status, 2);
  EXPECT_TRUE(absl::StrContains(taken.err, "class \"c00\" is class 8 of")) << taken.err;
  EXPECT_TRUE(absl::StrContains(taken.err, "and so are 1 more; no class was added"));
  ASSERT_EQ(
      RunProtopage({"classes", "drop", "--store=" + store, "--name=c00", "--name=c02"}).exit_status,
      0);
  // Ids are never used again.
  const ProtopageOutcome again = RunProtopage(
      {"classes", "add", "--store=" + store, "--run=" + Path("run"), "--input=" + Path("new")});
  ASSERT_EQ(again.exit_status, 0) << again.err;
  EXPECT_EQ(again.out,
            "class  id  images\n"
            "-----------------\n"
            "c00    11       2\n"
            "c01    12       2\n"
            "c02    13       2\n");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto opened, PrototypeStore::Open(store, {}));
  EXPECT_EQ(opened->num_classes(), 14);
  EXPECT_EQ(opened->num_dropped(), 6);
}

TEST_F(CommandsTest, InspectTellsOfARunAndOfAFile) {
  const ProtopageOutcome run = RunProtopage({"inspect", "--run=" + Path("run"), "--json"});
  ASSERT_EQ(run.exit_status, 0) << run.err;
  const nlohmann::ordered_json json = Parsed(run.out);
  EXPECT_EQ(json.at("num_classes"), kTinyTargetClasses);
  EXPECT_EQ(json.at("dim"), 16);
  EXPECT_EQ(json.at("dtype"), "float32");
  EXPECT_EQ(json.at("never_written"), 0);  // All were imprinted.
  EXPECT_EQ(json.at("trained").get<int>() + json.at("imprinted").get<int>(), kTinyTargetClasses);
  EXPECT_GE(json.at("trained"), 6);  // Of one step at least.
  EXPECT_GE(json.at("newest_step"), 2);
  EXPECT_TRUE(json.at("clean"));
  EXPECT_NEAR(json.at("norms").at("min"), 1, 1e-5);
  EXPECT_NEAR(json.at("norms").at("max"), 1, 1e-5);
  EXPECT_TRUE(json.at("pairs_complete"));
  EXPECT_TRUE(absl::StrContains(json.at("checkpoint").get<std::string>(), "checkpoints/"));
  ASSERT_GT(json.at("pairs").size(), 0u);
  EXPECT_LE(json.at("pairs")[0].at("cosine"), 1.00001);

  // All of an ended run is merged into its file.
  const std::string store = Path("run/prototypes.h5");
  const ProtopageOutcome file =
      RunProtopage({"inspect", "--store=" + store, "--pairs=2", "--json"});
  ASSERT_EQ(file.exit_status, 0) << file.err;
  const nlohmann::ordered_json of_file = Parsed(file.out);
  EXPECT_FALSE(of_file.contains("checkpoint"));
  EXPECT_EQ(of_file.at("trained"), json.at("trained"));
  ASSERT_EQ(of_file.at("pairs").size(), 2u);
  EXPECT_EQ(of_file.at("pairs")[1], json.at("pairs")[1]);

  const ProtopageOutcome text = RunProtopage({"inspect", "--store=" + store, "--pairs=0"});
  ASSERT_EQ(text.exit_status, 0) << text.err;
  for (const char* line : {"prototypes.h5\n", "format        2, clean\n",
                           "rows          8 of 16 float32, room for 8, state momentum\n",
                           "never written 0 (0.0 %)\n", "--run shows the newest"}) {
    EXPECT_TRUE(absl::StrContains(text.out, line)) << line << "\n" << text.out;
  }
  EXPECT_FALSE(absl::StrContains(text.out, "cosine"));
}

TEST_F(CommandsTest, DroppedClassesAreNeverTrained) {
  const std::string store = Path("with_dropped.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  ASSERT_EQ(RunProtopage({"classes", "drop", "--store=" + store, "--classes=1,6"}).exit_status, 0);
  const struct {
    std::string name, set;
  } kCases[] = {{"queues", "selection.mode=dominant"},
                {"frozen", "selection.frozen_queues=true"},
                {"nearest", "selection.mode=nearest"},
                {"full", "selection.mode=full"},
                {"ivf", "prototypes.index=ivf_sq8"}};
  for (const auto& c : kCases) {
    const std::string run = Path("dropped_" + c.name);
    const ProtopageOutcome trained =
        RunProtopage({"train", "--config=" + Path("tiny.json"), "--out=" + run, "--set=" + c.set,
                      "--set=stages=[{\"name\":\"imprint\"},{\"name\":\"dominant\",\"steps\":6,"
                      "\"batch_size\":8},"
                      "{\"name\":\"evaluate\"}]",
                      "--set=prototypes.init_from=" + store});
    ASSERT_EQ(trained.exit_status, 0) << c.name << trained.err;
    const ProtopageOutcome found = RunProtopage({"inspect", "--run=" + run, "--json"});
    EXPECT_EQ(Parsed(found.out).at("dropped"), 2) << c.name;
    EXPECT_EQ(Parsed(found.out).at("trained"), kTinyTargetClasses - 2) << c.name;
    ASSERT_EQ(RunProtopage({"export", "--run=" + run, "--output=" + Path("left.npy")}).exit_status,
              0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string npy, ReadFile(fs(), Path("left.npy")));
    const RowMatrixXf rows = ParseNpy(npy, kTinyTargetClasses, 16);
    for (ClassId id = 0; id < kTinyTargetClasses; ++id) {
      EXPECT_NEAR(rows.row(id).norm(), id == 1 || id == 6 ? 0 : 1, 1e-5) << c.name << " " << id;
    }
  }
}

TEST_F(CommandsTest, PrototypesStartFromAnExportedStore) {
  const std::string store = Path("start.h5");
  ASSERT_EQ(RunProtopage({"export", "--run=" + Path("run"), "--output=" + store}).exit_status, 0);
  const auto written_after = [&](const std::string& name, const std::string& init_from) {
    const ProtopageOutcome trained = RunProtopage(
        {"train", "--config=" + Path("tiny.json"), "--out=" + Path(name),
         "--set=stages=[{\"name\":\"dominant\",\"steps\":1,\"batch_size\":8}]",
         "--set=selection.classes_per_step=4", "--set=prototypes.init_from=" + init_from});
    EXPECT_EQ(trained.exit_status, 0) << trained.err;
    const ProtopageOutcome found = RunProtopage({"inspect", "--run=" + Path(name), "--json"});
    EXPECT_EQ(Parsed(found.out).at("trained"), 4);
    return Parsed(found.out).at("imprinted").get<int>();
  };
  // The one step has trained four classes; the others are the store's.
  EXPECT_EQ(written_after("from_store", store), kTinyTargetClasses - 4);
  EXPECT_EQ(written_after("from_nothing", ""), 0);
}

}  // namespace
}  // namespace protopage
