#include "protopage/trainer/run/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "protopage/base/float16.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/eval/report.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/observers/observer.h"
#include "protopage/trainer/stages/evaluator.h"
#include "protopage/trainer/testing/session_testing.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

// A run that goes through every kind of stage in a second or two.
constexpr char kConfig[] = R"({
  "data": {"type": "cifar", "augment": {"flip": 0.5, "pad_crop": 2}},
  "model": {"dropout": 0.1},
  "log_every_steps": 2,
  "threads": 2,
  "selection": {"mode": "dominant", "classes_per_step": 12, "positive_classes": 4,
                "dominant_queue": 6, "candidate_queue": 10, "look_ahead": 2,
                "candidate_refresh_steps": 5},
  "prototypes": {"index_update_steps": 3},
  "stages": [
    {"name": "source", "epochs": 2, "batch_size": 10},
    {"name": "evaluate"},
    {"name": "imprint"},
    {"name": "evaluate"},
    {"name": "dominant", "steps": 14, "batch_size": 16,
     "schedule": {"name": "cosine", "warmup_steps": 3}},
    {"name": "evaluate"}
  ]
})";

class TrainerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    data_dir_ = new std::string(absl::StrCat(testing::TempDir(), "/trainer_test_", getpid()));
    PROTOPAGE_ASSERT_OK(WriteTinyCifar(*data_dir_, 1));
  }

  static std::string RunPath(const std::string& name) {
    return absl::StrCat(*data_dir_, "/", name);
  }

  static TrainConfig Config(const std::vector<std::string>& set = {}) {
    nlohmann::json json = ParseJson(kConfig, "test").value();
    PROTOPAGE_EXPECT_OK(SetJsonValue(absl::StrCat("data.data_dir=", *data_dir_), json));
    for (const std::string& assignment : set) PROTOPAGE_EXPECT_OK(SetJsonValue(assignment, json));
    TrainConfig config;
    PROTOPAGE_EXPECT_OK(ReadConfig(json, "", config));
    PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
    return config;
  }

  static absl::StatusOr<TrainResult> TrainIn(const std::string& name, const TrainConfig& config,
                                             bool resume = false) {
    TrainOptions options;
    options.directory = RunPath(name);
    options.resume = resume;
    return Train(config, options);
  }

  // All that a finished run has learned: every parameter and every prototype.
  struct Model {
    NamedValues parameters;
    RowMatrixXf prototypes;
    friend bool operator==(const Model& a, const Model& b) {
      return a.parameters == b.parameters && a.prototypes == b.prototypes;
    }
  };
  static Model Load(const std::string& name) {
    Model model;
    absl::StatusOr<TrainConfig> config = ReadRunConfig(DefaultFileSystem(), RunPath(name), {});
    PROTOPAGE_EXPECT_OK(config);
    absl::StatusOr<std::unique_ptr<Session>> session =
        LoadRun(DefaultFileSystem(), RunPath(name), *config);
    PROTOPAGE_EXPECT_OK(session);
    model.parameters = NetValues(**session);
    model.prototypes = PrototypeRows(**session);
    return model;
  }

  static std::string* data_dir_;
};

std::string* TrainerTest::data_dir_ = nullptr;

TEST_F(TrainerTest, AllStagesAndWhatTheyLeave) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainResult result, TrainIn("whole", Config()));
  ASSERT_EQ(result.reports.size(), 3u);
  EXPECT_EQ(result.reports[0].name, "source");
  EXPECT_EQ(result.reports[1].name, "imprinted");
  EXPECT_EQ(result.reports[2].name, "dominant");
  EXPECT_EQ(result.reports[0].closed_set->num_classes, 10);
  EXPECT_EQ(result.reports[1].closed_set->num_classes, 100);
  EXPECT_EQ(result.reports[1].closed_set->all.samples, 100);
  // Chance is 1 %; the images' colours tell the classes apart even to a net that hardly learned.
  EXPECT_GT(result.reports[1].closed_set->all.Top1(), 0.2);

  FileSystem* fs = DefaultFileSystem();
  for (const char* file : {"config.json", "metrics.jsonl", "results.json", "prototypes.h5",
                           "queues.h5", "report.html"}) {
    EXPECT_TRUE(fs->Exists(JoinPath(RunPath("whole"), file))) << file;
  }
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto lines,
                                 ReadMetrics(fs, JoinPath(RunPath("whole"), "metrics.jsonl")));
  int64_t steps = 0, queue_lines = 0;
  for (const auto& line : lines) {
    steps = std::max(steps, line.value("step", int64_t{0}));
    if (line.value("stage", "") != "dominant" || !line.contains("cache_hit_rate")) continue;
    for (const char* key :
         {"rows_paged", "wait_rows_seconds", "wait_plan_seconds", "log_bytes", "index_seconds"}) {
      EXPECT_TRUE(line.contains(key)) << line;
    }
    EXPECT_GT(line.value("log_bytes", 0.0), 0) << line;
    // Where no step was planned, no queue was used.
    queue_lines += line.contains("queue_age_steps") ? 1 : 0;
  }
  EXPECT_GT(queue_lines, 0);
  // Two epochs of 50 / 10 steps, and 14.
  EXPECT_EQ(steps, 24);
}

TEST_F(TrainerTest, BitsDoNotDependOnThreads) {
  PROTOPAGE_ASSERT_OK(TrainIn("threads1", Config({"threads=1"})));
  PROTOPAGE_ASSERT_OK(TrainIn("threads3", Config({"threads=3", "loader_threads=2"})));
  EXPECT_TRUE(Load("threads1") == Load("threads3"));
}

// With queues that do not change, how far the planner runs ahead cannot matter: each step gathers
// the newest rows.
TEST_F(TrainerTest, WithFrozenQueuesLookAheadDoesNotChangeTheBits) {
  for (const int ahead : {0, 1, 8}) {
    PROTOPAGE_ASSERT_OK(TrainIn(
        absl::StrCat("ahead", ahead),
        Config({"selection.frozen_queues=true", absl::StrCat("selection.look_ahead=", ahead)})));
  }
  EXPECT_TRUE(Load("ahead0") == Load("ahead1"));
  EXPECT_TRUE(Load("ahead0") == Load("ahead8"));
}

TEST_F(TrainerTest, ResumeAfterAnInterruptGivesTheSameBits) {
  PROTOPAGE_ASSERT_OK(TrainIn("straight", Config()));
  // Interrupted again and again: by each SIGINT after the step that is running.
  absl::StatusOr<TrainResult> result = absl::CancelledError("");
  int interrupts = 0;
  for (bool resume = false; absl::IsCancelled(result.status()); resume = true) {
    ASSERT_LT(interrupts, 60);
    // Raised by a timer in the middle of the run; when it comes does not matter.
    const pid_t self = getpid();
    std::thread timer([self] {
      usleep(250'000);
      kill(self, SIGINT);
    });
    // A signal that comes when no run catches it must not end the test.
    signal(SIGINT, SIG_IGN);
    result = TrainIn("interrupted", Config(), resume);
    timer.join();
    if (absl::IsCancelled(result.status())) {
      ++interrupts;
      EXPECT_THAT(result, StatusIs(absl::StatusCode::kCancelled, "--resume"));
    }
  }
  signal(SIGINT, SIG_DFL);
  PROTOPAGE_ASSERT_OK(result);
  EXPECT_GT(interrupts, 0);
  EXPECT_EQ(result->reports.size(), 3u);
  EXPECT_TRUE(Load("straight") == Load("interrupted"));
}

// Sends a signal as a stage begins.
class SignalAt : public TrainObserver {
 public:
  explicit SignalAt(int stage) : stage_(stage) {}
  absl::Status OnStageStart(const StageReport& report) override {
    if (report.stage_index == stage_) raise(SIGTERM);
    return absl::OkStatus();
  }

 private:
  const int stage_;
};

TEST_F(TrainerTest, ASignalEndsStagesWithoutStepsToo) {
  PROTOPAGE_ASSERT_OK(TrainIn("no_signal", Config()));
  for (const auto& [stage, name] : {std::pair(1, "evaluate"), std::pair(2, "imprint")}) {
    SignalAt console(stage);
    TrainOptions options;
    options.directory = RunPath(absl::StrCat("signal_", name));
    options.console = &console;
    EXPECT_THAT(Train(Config(), options),
                StatusIs(absl::StatusCode::kCancelled, absl::StrCat("interrupted in ", name)));
    PROTOPAGE_ASSERT_OK(TrainIn(absl::StrCat("signal_", name), Config(), /*resume=*/true));
    EXPECT_TRUE(Load("no_signal") == Load(absl::StrCat("signal_", name)));
  }
}

TEST_F(TrainerTest, ResumeFromAnEpochsCheckpoint) {
  const std::pair<std::string, std::string> kinds[] = {
      {"momentum", "float32"}, {"adagrad", "float32"}, {"momentum", "float16"}};
  for (const auto& [state, dtype] : kinds) {
    const std::vector<std::string> set = {
        "stages[4].steps=0", "stages[4].epochs=2", "prototypes.row_state=" + state,
        "stages[4].rows.name=" + state, "prototypes.dtype=" + dtype};
    const std::string base = absl::StrCat("base_", state, "_", dtype);
    const std::string back = "thrown_back_" + base;
    PROTOPAGE_ASSERT_OK(TrainIn(base, Config(set)));
    // The same run, thrown back to a checkpoint in the middle of the dominant stage.
    std::vector<std::string> keep = set;
    keep.push_back("keep_checkpoints=10");
    PROTOPAGE_ASSERT_OK(TrainIn(back, Config(keep)));
    FileSystem* fs = DefaultFileSystem();
    const std::string folder = JoinPath(RunPath(back), "checkpoints");
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(folder));
    ASSERT_GE(names.size(), 3u);
    for (size_t i = names.size() - 2; i < names.size(); ++i) {
      PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(folder, names[i] + "/DONE")));
    }
    PROTOPAGE_ASSERT_OK(TrainIn(back, Config(set), true));
    EXPECT_TRUE(Load(base) == Load(back)) << base;
  }
  const Model momentum = Load("base_momentum_float32");
  EXPECT_FALSE(momentum == Load("base_adagrad_float32"));
  const RowMatrixXf halves = Load("base_momentum_float16").prototypes;
  EXPECT_EQ(halves, halves.unaryExpr([](float x) { return HalfToFloat(FloatToHalf(x)); }));
  EXPECT_NE(halves, momentum.prototypes);
}

TEST_F(TrainerTest, MoreCheckpointsDoNotChangeTheBits) {
  PROTOPAGE_ASSERT_OK(TrainIn("few", Config()));
  PROTOPAGE_ASSERT_OK(
      TrainIn("many", Config({"checkpoint_every_steps=3", "keep_checkpoints=100"})));
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto few, fs->List(JoinPath(RunPath("few"), "checkpoints")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto many,
                                 fs->List(JoinPath(RunPath("many"), "checkpoints")));
  EXPECT_GE(many.size(), few.size() + 6);
  EXPECT_TRUE(Load("few") == Load("many"));
}

TEST_F(TrainerTest, ResumeRefusesAChangedConfig) {
  const TrainConfig config = Config({"stages[0].epochs=1"});
  PROTOPAGE_ASSERT_OK(TrainIn("changed", config));
  EXPECT_THAT(TrainIn("changed", config), StatusIs(absl::StatusCode::kAlreadyExists, "--resume"));
  EXPECT_THAT(TrainIn("changed", Config({"stages[0].epochs=2", "seed=5"}), true),
              StatusIs(absl::StatusCode::kInvalidArgument, "seed, stages[0].epochs"));
  EXPECT_THAT(TrainIn("nowhere", config, true),
              StatusIs(absl::StatusCode::kNotFound, "holds no run"));
  // A finished run has nothing left to do; threads may change.
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const TrainResult result,
      TrainIn("changed", Config({"stages[0].epochs=1", "threads=1"}), true));
  EXPECT_EQ(result.reports.size(), 3u);
}

TEST_F(TrainerTest, ResumeTakesAChangeThatNoStepHasUsed) {
  const std::vector<std::string> changes = {"stages[4].steps=8", "stages[4].margin=0.25",
                                            "selection.look_ahead=1", "prototypes.index=ivf_sq8",
                                            "prototypes.cache_bytes=2000000"};
  PROTOPAGE_ASSERT_OK(TrainIn("from_the_start", Config(changes)));
  PROTOPAGE_ASSERT_OK(TrainIn("mended", Config({"keep_checkpoints=100"})));
  // Thrown back to where the dominant stage begins.
  FileSystem* fs = DefaultFileSystem();
  const std::string folder = JoinPath(RunPath("mended"), "checkpoints");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, fs->List(folder));
  bool begins = false;
  for (const std::string& name : names) {
    if (begins) {
      PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(folder, name + "/DONE")));
    }
    begins = begins || name.substr(name.size() - 2) == "04";
  }
  ASSERT_TRUE(begins);
  std::vector<std::string> used = changes;
  used.push_back("stages[2].domain=image");
  EXPECT_THAT(TrainIn("mended", Config(used), true),
              StatusIs(absl::StatusCode::kInvalidArgument, ": stages[2].domain; only"));
  PROTOPAGE_ASSERT_OK(TrainIn("mended", Config(changes), true));
  EXPECT_TRUE(Load("from_the_start") == Load("mended"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(TrainConfig config, ReadRunConfig(fs, RunPath("mended"), {}));
  EXPECT_EQ(config.stages[4].steps, 8);
  EXPECT_EQ(config.prototypes.cache_bytes, 2000000);
  // A finished run takes further stages.
  TrainConfig longer = Config(changes);
  longer.stages.push_back(longer.stages[5]);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainResult result, TrainIn("mended", longer, true));
  EXPECT_EQ(result.reports.size(), 4u);
}

TEST_F(TrainerTest, ARunWithoutACheckpointTakesAnyChange) {
  // The first stage has begun and nothing was saved.
  const std::string path = RunPath("young");
  PROTOPAGE_ASSERT_OK(TrainIn("young", Config()));
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto names, fs->List(JoinPath(path, "checkpoints")));
  for (const std::string& name : names) {
    PROTOPAGE_ASSERT_OK(fs->Remove(absl::StrCat(path, "/checkpoints/", name, "/DONE")));
  }
  PROTOPAGE_ASSERT_OK(fs->Remove(JoinPath(path, "metrics.jsonl")));  // Tells of checkpoints.
  const TrainConfig other = Config({"seed=7", "model.embedding_dim=24"});
  PROTOPAGE_ASSERT_OK(TrainIn("young", other, true));
  PROTOPAGE_ASSERT_OK(TrainIn("other", other));
  EXPECT_TRUE(Load("young") == Load("other"));
}

TEST_F(TrainerTest, LossesThatAreNotFiniteStopTheRun) {
  const absl::StatusOr<TrainResult> result = TrainIn(
      "diverged", Config({"model.input_scale=1e38", "max_bad_steps=3", "stages[0].epochs=1"}));
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kAborted, "3 steps in a row"));
  // A smaller learning rate was tried once, and the run says so.
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kAborted, "also with 0.1 of the learning rates"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const std::string recovery,
      ReadFile(DefaultFileSystem(), JoinPath(RunPath("diverged"), "recovery.json")));
  EXPECT_NE(recovery.find("learning_rate_factor"), std::string::npos) << recovery;
}

TEST_F(TrainerTest, InitFromStartsFromTheNetOfAnotherRun) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const TrainResult first,
                                 TrainIn("first", Config({"stages[4].steps=4"})));
  // Imprinting with the first run's net, which a net at random does not repeat.
  TrainConfig config = Config({absl::StrCat("init_from=", RunPath("first"))});
  config.stages = {config.stages[2], config.stages[3]};
  PROTOPAGE_ASSERT_OK(TrainIn("second", config));
  EXPECT_EQ(Load("second").parameters, Load("first").parameters);
  config.init_from = RunPath("nowhere");
  EXPECT_THAT(TrainIn("third", config), StatusIs(absl::StatusCode::kNotFound, "nowhere"));
}

// Keeps the messages of a run, and prints nothing.
class MessageCollector : public TrainObserver {
 public:
  absl::Status OnMessage(const MessageReport& report) override {
    messages.push_back(report);
    return absl::OkStatus();
  }
  std::vector<MessageReport> messages;
};

TEST_F(TrainerTest, EveryMessageGoesToTheConsoleObserver) {
  MessageCollector console;
  TrainOptions options;
  options.directory = RunPath("messages");
  options.console = &console;
  testing::internal::CaptureStderr();
  PROTOPAGE_ASSERT_OK(Train(Config({"stages[0].epochs=1", "stages[4].steps=4"}), options));
  options.directory = RunPath("bad_messages");
  const absl::StatusOr<TrainResult> bad =
      Train(Config({"model.input_scale=1e38", "max_bad_steps=3", "stages[0].epochs=1"}), options);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(bad, StatusIs(absl::StatusCode::kAborted, "3 steps in a row"));
  std::string text, warnings;
  for (const MessageReport& message : console.messages) {
    absl::StrAppend(message.level == LogLevel::kInfo ? &text : &warnings, message.text, "\n");
  }
  for (const char* expected : {"run ", "source: ", "imprinted 100 classes from 100 images",
                               "dominant: ", "has no checkpoint yet"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << " is not in\n" << text;
  }
  EXPECT_NE(warnings.find("going back to the last checkpoint with 0.1"), std::string::npos)
      << warnings;
}

// An observer's error ends the run, also one about a message.
TEST_F(TrainerTest, AnErrorOfTheConsoleObserverEndsTheRun) {
  class Full : public TrainObserver {
    absl::Status OnMessage(const MessageReport&) override {
      return absl::ResourceExhaustedError("disk full");
    }
  };
  Full console;
  TrainOptions options;
  options.directory = RunPath("full_console");
  options.console = &console;
  EXPECT_THAT(Train(Config(), options),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
}

// Ends the run, as a kill does, when the stage has come to a step.
class Killer : public TrainObserver {
 public:
  Killer(std::string stage, int64_t step) : stage_(std::move(stage)), step_(step) {}
  absl::Status OnMessage(const MessageReport& report) override {
    messages.push_back(report.text);
    return absl::OkStatus();
  }
  absl::Status OnStep(const StepReport& report) override {
    if (report.stage == stage_ && report.stage_step == step_) return absl::AbortedError("killed");
    return absl::OkStatus();
  }
  std::vector<std::string> messages;

 private:
  const std::string stage_;
  const int64_t step_;
};

TEST_F(TrainerTest, AStageInProgressGoesOnWithTheImagesItBeganWith) {
  const std::string data = RunPath("other_images_data");
  PROTOPAGE_ASSERT_OK(WriteTinyLists(data));
  const TrainConfig config =
      TinyListTrainConfig(data, {"stages[0].epochs=2", "stages[0].batch_size=4",
                                 "checkpoint_every_steps=1", "log_every_steps=1"});
  TrainOptions options;
  options.directory = RunPath("other_images");
  Killer killer("source", 7);  // Of 8.
  options.console = &killer;
  EXPECT_THAT(Train(config, options), StatusIs(absl::StatusCode::kAborted, "killed"));
  options.resume = true;

  FileSystem* const fs = DefaultFileSystem();
  const std::string list = JoinPath(data, "source_train.txt");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string all, ReadFile(fs, list));
  // Leaves the first `images` of the four of each class.
  const auto leave = [&](int images) {
    std::string lines;
    for (const absl::string_view line : absl::StrSplit(all, '\n', absl::SkipEmpty())) {
      const size_t end = line.find(".png");
      if (line[end - 1] - '0' < images) absl::StrAppend(&lines, line, "\n");
    }
    return WriteFileAtomically(fs, list, lines);
  };
  PROTOPAGE_ASSERT_OK(leave(3));
  EXPECT_THAT(Train(config, options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "--resume: source: the stage began with 16 images and would go on with 12"));
  options.changed_images = true;
  PROTOPAGE_ASSERT_OK(leave(2));
  EXPECT_THAT(Train(config, options),
              StatusIs(absl::StatusCode::kInvalidArgument, "which make 4 steps, and 6 are done"));
  PROTOPAGE_ASSERT_OK(leave(3));
  PROTOPAGE_EXPECT_OK(Train(config, options));  // The steps that are done are all.
  EXPECT_THAT(killer.messages, testing::Contains(testing::HasSubstr("would go on with 12")));
}

TEST_F(TrainerTest, ARunWhoseCheckpointsAreLostIsNotBegunAgain) {
  const TrainConfig config = Config({"stages[4].steps=4"});
  TrainOptions options;
  options.directory = RunPath("lost");
  Killer killer("dominant", 2);
  options.console = &killer;
  EXPECT_THAT(Train(config, options), StatusIs(absl::StatusCode::kAborted, "killed"));
  FileSystem* const fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK(fs->Rename(RunPath("lost/checkpoints"), RunPath("lost/away")));
  PROTOPAGE_ASSERT_OK(fs->CreateDirectories(RunPath("lost/checkpoints")));
  EXPECT_THAT(TrainIn("lost", config, /*resume=*/true),
              StatusIs(absl::StatusCode::kDataLoss, "they were lost"));
  PROTOPAGE_ASSERT_OK(fs->RemoveDirectory(RunPath("lost/checkpoints")));
  PROTOPAGE_ASSERT_OK(fs->Rename(RunPath("lost/away"), RunPath("lost/checkpoints")));
  PROTOPAGE_EXPECT_OK(TrainIn("lost", config, /*resume=*/true));
}

// A tiny difference of seeds, or of time, makes another run.
TEST_F(TrainerTest, FilesOfAnotherRunAreRefused) {
  const TrainConfig config = Config({"stages[4].steps=4", "log_every_steps=1"});
  for (const char* name : {"mine", "others"}) {
    TrainOptions options;
    options.directory = RunPath(name);
    Killer killer("dominant", 3);  // With a log that is not merged.
    options.console = &killer;
    EXPECT_THAT(Train(config, options), StatusIs(absl::StatusCode::kAborted, "killed"));
  }
  FileSystem* const fs = DefaultFileSystem();
  for (const char* name : {"prototypes.h5", "log", "checkpoints"}) {
    const std::string mine = RunPath(absl::StrCat("mine/", name));
    const std::string others = RunPath(absl::StrCat("others/", name));
    PROTOPAGE_ASSERT_OK(fs->Rename(mine, RunPath("aside")));
    PROTOPAGE_ASSERT_OK(fs->Rename(others, mine));
    EXPECT_THAT(LoadRun(fs, RunPath("mine"), config),
                StatusIs(absl::StrContains(name, "checkpoints") ? absl::StatusCode::kNotFound
                                                                : absl::StatusCode::kDataLoss,
                         RunPath("mine")))
        << name;
    EXPECT_THAT(TrainIn("mine", config, /*resume=*/true),
                StatusIs(absl::StatusCode::kDataLoss, RunPath("mine")))
        << name;
    PROTOPAGE_ASSERT_OK(fs->Rename(mine, others));
    PROTOPAGE_ASSERT_OK(fs->Rename(RunPath("aside"), mine));
  }
  PROTOPAGE_EXPECT_OK(TrainIn("mine", config, /*resume=*/true));
}

// Fewer bad steps than end a run are said, and features that are not finite are no class's.
TEST_F(TrainerTest, WhatIsNotFiniteIsSaid) {
  Killer console("", 0);
  TrainOptions options;
  options.directory = RunPath("not_finite");
  options.console = &console;
  EXPECT_THAT(
      Train(Config({"model.input_scale=1e38", "max_bad_steps=100", "stages[0].epochs=1"}), options),
      StatusIs(absl::StatusCode::kFailedPrecondition, "is not finite: the net has diverged"));
  EXPECT_THAT(console.messages,
              testing::Contains(testing::HasSubstr("steps trained nothing: loss or gradients")));
}

[[maybe_unused]] absl::Status TheExampleOfTheHeader(const TrainConfig& config) {
  TrainOptions options;
  options.directory = "runs/a";
  PROTOPAGE_ASSIGN_OR_RETURN(const TrainResult result, Train(config, options));
  std::cout << FormatComparison(result.reports);
  return absl::OkStatus();
}

TEST_F(TrainerTest, EverySelectionModeTrains) {
  for (const std::string mode : {"full", "random"}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(
        const TrainResult result,
        TrainIn("mode_" + mode, Config({"selection.mode=" + mode, "stages[0].epochs=1",
                                        "selection.images_for=positives", "stages[4].steps=4"})));
    EXPECT_EQ(result.reports.size(), 3u) << mode;
  }
}

}  // namespace
}  // namespace protopage
