// A process that trains is killed (SIGKILL) at any instant, and perhaps once more after it was
// resumed; it ends with the same result as a training that is never interrupted. The default is 20
// runs:
//
//   ./bazelw run //trainer:kill_test -- --runs=200
//
// A kill leaves the page cache intact, so missing syncs are training_crash_test's matter; here the
// processes, threads and files are real ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/stopwatch.h"
#include "protopage/trainer/observers/metrics_writer.h"
#include "protopage/trainer/run/run_directory.h"
#include "protopage/trainer/run/trainer.h"
#include "protopage/trainer/testing/session_testing.h"

namespace protopage {
namespace {

int64_t runs = 20;

// All kinds of stages; prototypes of two generations, more than the cache holds; with each
// checkpoint the log is merged; between them the index and the queues change.
constexpr char kConfig[] = R"({
  "threads": 2, "log_every_steps": 1, "checkpoint_every_steps": 3,
  "data": {"type": "synthetic", "image_size": 18,
           "synthetic": {"source_classes": 6, "target_classes": 320, "unseen_classes": 2,
                         "train_images": 2, "test_images": 1}},
  "prototypes": {"cache_bytes": 1048576, "index_update_steps": 2},
  "selection": {"classes_per_step": 24, "positive_classes": 8, "dominant_queue": 4,
                "candidate_queue": 6, "candidate_refresh_steps": 5, "look_ahead": 2, "images_for": "positives"},
  "stages": [{"name": "source", "steps": 4, "batch_size": 4},
             {"name": "imprint"},
             {"name": "dominant", "steps": 20, "batch_size": 8},
             {"name": "imprint"},
             {"name": "dominant", "steps": 14, "batch_size": 8},
             {"name": "evaluate"}]
})";

TrainConfig Config() {
  TrainConfig config;
  PROTOPAGE_EXPECT_OK(ReadConfig(ParseJson(kConfig, "kill_test").value(), "", config));
  PROTOPAGE_EXPECT_OK(ValidateConfig(&config));
  return config;
}

// The child's work: begins the run, or resumes it.
int TrainIn(const std::string& directory) {
  FileSystem* fs = DefaultFileSystem();
  TrainOptions options;
  options.directory = directory;
  options.resume = fs->Exists(JoinPath(directory, "config.json"));
  options.log.merge_bytes = int64_t{1} << 18;
  const absl::Status status = Train(Config(), options).status();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}

// This program again, to train in `directory`; it appends its messages to DIRECTORY.log.
pid_t Start(const std::string& directory) {
  const std::string log = absl::StrCat(directory, ".log"),
                    flag = absl::StrCat("--train=", directory);
  const pid_t child = fork();
  if (child != 0) return child;
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0) _exit(126);
  execl("/proc/self/exe", "kill_test", flag.c_str(), nullptr);
  _exit(127);
}

// The progress of a run: 0 without a run, 1 without a checkpoint, else 2 + the number of the
// newest.
int64_t Progress(const std::string& directory) {
  FileSystem* fs = DefaultFileSystem();
  const auto run = RunDirectory::Open(fs, directory);
  if (!run.ok()) return 0;
  const auto newest = run->LatestCheckpoint();
  int64_t number = 0;
  if (!newest.ok() || !absl::SimpleAtoi(BaseName(*newest), &number)) return 1;
  return 2 + number;
}

// A progress of the uninterrupted training, and the time from there to the next one.
struct Mark {
  int64_t progress = 0;
  double seconds_to_next = 0;
};

struct Outcome {
  NamedValues net;
  RowMatrixXf rows, momentum;
  std::vector<int64_t> last_step;
  std::vector<ClassId> dominants;
  std::vector<std::pair<int64_t, double>> losses;
  std::vector<std::string> checkpoints;
  std::string results;
};

Outcome Load(const std::string& directory) {
  FileSystem* fs = DefaultFileSystem();
  Outcome outcome;
  const auto run = RunDirectory::Open(fs, directory);
  const auto session = LoadRun(fs, directory, Config());
  PROTOPAGE_EXPECT_OK(run);
  PROTOPAGE_EXPECT_OK(session);
  if (!run.ok() || !session.ok()) return outcome;
  outcome.net = NetValues(**session);
  const auto set = PrototypeSet::Restore(directory, run->LatestCheckpoint().value(),
                                         (*session)->prototype_options(), &(*session)->pool());
  PROTOPAGE_EXPECT_OK(set);
  if (!set.ok()) return outcome;
  PrototypeStore& store = (*set)->store();
  outcome.rows.resize(store.num_classes(), store.dim());
  outcome.momentum.resize(store.num_classes(), store.dim());
  for (ClassId id = 0; id < store.num_classes(); ++id) {
    StepRows step;
    PROTOPAGE_EXPECT_OK(store.GatherStep({id}, &step));
    outcome.rows.row(id) = step.rows.row(0);
    outcome.momentum.row(id) = step.state.row(0);
    outcome.last_step.push_back(step.last_step[0]);
    // Those that were never built are now, from the index.
    const auto dominants = (*set)->dominants()->Dominants(/*step=*/0, {id});
    PROTOPAGE_EXPECT_OK(dominants);
    if (!dominants.ok()) return outcome;
    outcome.dominants.insert(outcome.dominants.end(), dominants->begin(), dominants->end());
  }
  const auto metrics = ReadMetrics(fs, run->File("metrics.jsonl"));
  PROTOPAGE_EXPECT_OK(metrics);
  for (const auto& line : metrics.value()) {
    if (line.at("kind") == "step") outcome.losses.emplace_back(line.at("step"), line.at("loss"));
  }
  outcome.checkpoints = fs->List(run->File("checkpoints")).value();
  outcome.results = ReadFile(fs, run->File("results.json")).value();
  return outcome;
}

void ExpectEqual(const Outcome& got, const Outcome& want) {
  EXPECT_TRUE(got.net == want.net);
  EXPECT_TRUE(got.rows == want.rows);
  EXPECT_TRUE(got.momentum == want.momentum);
  EXPECT_EQ(got.last_step, want.last_step);
  EXPECT_EQ(got.dominants, want.dominants);
  EXPECT_EQ(got.losses, want.losses);
  EXPECT_EQ(got.checkpoints, want.checkpoints);
  EXPECT_EQ(got.results, want.results);
}

class KillTest : public testing::Test {
 protected:
  static std::string Directory(const std::string& name) {
    return absl::StrCat(testing::TempDir(), "/kill_test_", getpid(), "_", name);
  }

  // Waits for the end, which must be a good one.
  static void Finish(pid_t child, const std::string& directory) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "status " << status << "\n"
        << ReadFile(DefaultFileSystem(), absl::StrCat(directory, ".log")).value_or("");
  }

  // Kills `child` the given time after its run has come to `mark`. False when it ended, well,
  // before.
  static bool KillAt(pid_t child, const std::string& directory, int64_t mark, double seconds) {
    int status = 0;
    while (Progress(directory) < mark) {
      if (waitpid(child, &status, WNOHANG) == child) break;
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    if (status == 0) {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
      EXPECT_EQ(kill(child, SIGKILL), 0);
      EXPECT_EQ(waitpid(child, &status, 0), child);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "status " << status << "\n"
        << ReadFile(DefaultFileSystem(), absl::StrCat(directory, ".log")).value_or("");
    return false;
  }
};

TEST_F(KillTest, AKilledRunEndsAsOneThatWasNot) {
  const std::string straight = Directory("straight");
  std::vector<Mark> marks = {{0, 0}};
  {
    const pid_t child = Start(straight);
    Stopwatch since;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
      const int64_t progress = Progress(straight);
      if (progress > marks.back().progress) {
        marks.back().seconds_to_next = since.Seconds();
        since = Stopwatch();
        marks.push_back({progress, 0});
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    marks.back().seconds_to_next = since.Seconds();
    ASSERT_EQ(status, 0) << ReadFile(DefaultFileSystem(), straight + ".log").value_or("");
  }
  const Outcome want = Load(straight);
  ASSERT_EQ(want.losses.size(), 4 + 20 + 14);
  ASSERT_GT(marks.size(), 12u);
  ASSERT_GT(want.momentum.rows(), 0);
  if (HasFailure()) return;

  int64_t kills = 0, early = 0, late = 0, twice = 0;
  for (int64_t i = 0; i < runs; ++i) {
    SCOPED_TRACE(absl::StrCat("run ", i));
    const std::string directory = Directory(absl::StrCat(i));
    RandomStream random(1, RandomPurpose::kTest, i);
    int64_t killed = 0;
    // The first kills of all runs are spread evenly over the training; every other run has a second
    // one.
    size_t mark = i * marks.size() / runs;
    for (int64_t attempt = 0; attempt < 1 + i % 2; ++attempt) {
      const double seconds = random.Uniform() * marks[mark].seconds_to_next;
      const int64_t before = Progress(directory);
      if (!KillAt(Start(directory), directory, marks[mark].progress, seconds)) break;
      const int64_t after = Progress(directory);
      SCOPED_TRACE(absl::StrCat("killed at ", after, " after ", before));
      ++killed;
      if (after <= 1) ++early;
      if (after > 1 && after < marks.back().progress) ++late;
      mark += random.Below(marks.size() - mark);
    }
    kills += killed;
    if (killed > 1) ++twice;
    Finish(Start(directory), directory);
    if (HasFatalFailure()) return;
    ExpectEqual(Load(directory), want);
    if (HasFailure()) return;
    std::filesystem::remove_all(directory);
  }
  std::cout << kills << " kills, " << early << " before the first checkpoint, " << late
            << " after it and before the last, " << twice << " runs killed twice\n";
  EXPECT_GT(early, 0);
  EXPECT_GT(late, runs / 4);
  EXPECT_GT(twice, 0);
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view value = argv[i];
    if (absl::ConsumePrefix(&value, "--train=")) return protopage::TrainIn(std::string(value));
  }
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view value = argv[i];
    if (!absl::ConsumePrefix(&value, "--runs=") || !absl::SimpleAtoi(value, &protopage::runs) ||
        protopage::runs < 4) {
      std::cerr << "usage: kill_test [--runs=N], N at least 4; found " << argv[i] << "\n";
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
