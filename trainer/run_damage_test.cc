// Flips bits in the files of runs and of a store, and asks every verb that reads them. What a verb
// prints or writes is that of the intact files, or the verb fails; `protopage check` finds all
// damage that a verb finds. With PROTOPAGE_DAMAGE_RUNS=all in the environment, one bit of every
// byte of files up to 64 KiB is flipped, and a sample of larger ones; otherwise a few in each file.
// Where every byte is, only each kAskAll-th flip that `check` finds is shown to the other verbs,
// too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/testing/run_protopage.h"

namespace protopage {
namespace {

constexpr char kConfig[] = R"({
  "seed": 11, "threads": 1, "loader_threads": 1, "log_every_steps": 4,
  "checkpoint_every_steps": 5, "keep_checkpoints": 3,
  "data": {"type": "synthetic", "image_size": 18, "channels": 1,
           "synthetic": {"source_classes": 4, "target_classes": 40, "unseen_classes": 4,
                         "train_images": 1, "test_images": 1}},
  "model": {"net": "seed_cnn", "embedding_dim": 4},
  "prototypes": {"index": "flat", "index_update_steps": 3},
  "selection": {"mode": "dominant", "classes_per_step": 8, "positive_classes": 4,
                "dominant_queue": 3, "candidate_queue": 5, "images_for": "positives",
                "look_ahead": 2, "candidate_refresh_steps": 6},
  "stages": [{"name": "imprint"},
             {"name": "dominant", "steps": 12, "batch_size": 4, "train_net": false,
              "rows": {"learning_rate": 0.2}},
             {"name": "evaluate"}]
})";

// What the other config lacks: an index in lists, a file of changes of the index, float16 rows with
// Adagrad, a head, two generations of prototypes.
constexpr char kEverything[] = R"({
  "seed": 11, "threads": 1, "loader_threads": 1, "log_every_steps": 4,
  "checkpoint_every_steps": 5, "keep_checkpoints": 3,
  "data": {"type": "synthetic", "image_size": 18, "channels": 1,
           "synthetic": {"source_classes": 4, "target_classes": 40, "unseen_classes": 4,
                         "train_images": 1, "test_images": 1}},
  "model": {"net": "seed_cnn", "embedding_dim": 4},
  "prototypes": {"index": "ivf_sq8", "index_lists": 4, "index_probes": 2, "index_update_steps": 3,
                 "dtype": "float16", "row_state": "adagrad"},
  "selection": {"mode": "mixed", "classes_per_step": 8, "positive_classes": 4,
                "dominant_queue": 3, "candidate_queue": 5, "images_for": "positives"},
  "stages": [{"name": "source", "steps": 2, "batch_size": 2},
             {"name": "imprint"},
             {"name": "dominant", "steps": 3, "batch_size": 4, "train_net": false,
              "rows": {"name": "adagrad"}},
             {"name": "imprint"},
             {"name": "dominant", "steps": 12, "batch_size": 4, "train_net": false,
              "rows": {"name": "adagrad"}},
             {"name": "evaluate"}]
})";

bool EveryByte() {
  const char* runs = std::getenv("PROTOPAGE_DAMAGE_RUNS");
  return runs != nullptr && std::string(runs) == "all";
}
constexpr int64_t kAskAll = 16;

// Which bits to flip: about `per_file` in each file, or one in each byte.
int64_t Stride(int64_t bytes, int64_t per_file) {
  if (EveryByte() && bytes <= (64 << 10)) return 1;
  return std::max<int64_t>(1, bytes / (EveryByte() ? 1000 : per_file));
}

// What flipped bits did.
struct Counts {
  int64_t tried = 0, found = 0, only_check = 0, harmless = 0, silent = 0;
};

class RunDamageTest : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    if (directory_ != nullptr) return;  // The suites share their runs.
    directory_ = new std::string(absl::StrCat(testing::TempDir(), "/run_damage_", getpid()));
    PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(*directory_));
    for (const auto& [config, text] : {std::pair("flat", kConfig), {"all", kEverything}}) {
      const std::string finished = absl::StrCat(config, "-finished");
      const std::string interrupted = absl::StrCat(config, "-interrupted");
      PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), ConfigOf(finished), text));
      const ProtopageOutcome trained =
          RunProtopage({"train", "--config=" + ConfigOf(finished), "--out=" + Path(finished)});
      ASSERT_EQ(trained.exit_status, 0) << trained.err;
      // A run that died while it saved its last checkpoint but two, with the log as it was then or
      // later.
      Copy(finished, interrupted);
      std::vector<std::string> names = fs()->List(Path(interrupted + "/checkpoints")).value();
      ASSERT_EQ(names.size(), 3u);
      PROTOPAGE_ASSERT_OK(
          fs()->Remove(JoinPath(Path(interrupted + "/checkpoints"), names[2] + "/DONE")));
    }
  }

  static FileSystem* fs() { return DefaultFileSystem(); }
  static std::string Path(const std::string& name) { return JoinPath(*directory_, name); }
  static std::string ConfigOf(const std::string& run) {
    return Path(run.substr(0, run.find('-')) + ".json");
  }
  static void Copy(const std::string& from, const std::string& to) {
    std::filesystem::remove_all(Path(to));
    std::filesystem::copy(Path(from), Path(to), std::filesystem::copy_options::recursive);
  }

  // The files of a run that a verb may read, without those that are exempt.
  static std::vector<std::string> Files(const std::string& run) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(run))) {
      const std::string name = entry.path().filename();
      const bool exempt = name == "report.html" || absl::StartsWith(name, "events.");
      if (entry.is_regular_file() && entry.file_size() > 0 && !exempt) {
        files.push_back(entry.path());
      }
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  static void Flip(const std::string& path, int64_t byte) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto file, fs()->Open(path, OpenMode::kReadWrite));
    char content = 0;
    PROTOPAGE_ASSERT_OK(file->ReadAt(byte, &content, 1));
    content = static_cast<char>(content ^ (1 << (byte * 5 + 3) % 8));
    PROTOPAGE_ASSERT_OK(file->WriteAt(byte, &content, 1));
  }
  static int64_t Bytes(const std::string& path) {
    return static_cast<int64_t>(std::filesystem::file_size(path));
  }

  // What a verb gives: its status, and all that it prints and writes if that is 0.
  static std::string Ask(std::vector<std::string> arguments, bool writes = false) {
    const std::string output = Path("output.npy");
    std::filesystem::remove(output);
    if (writes) arguments.push_back("--output=" + output);
    const ProtopageOutcome outcome = RunProtopage(arguments);
    if (outcome.exit_status != 0) {
      last_error_ = outcome.err;
      return "failed";
    }
    return absl::StrCat(outcome.out, writes ? ReadFile(fs(), output).value() : "");
  }
  static std::vector<std::string> AskAll(const std::string& run) {
    return {Ask({"inspect", "--run=" + Path(run), "--json"}),
            Ask({"export", "--run=" + Path(run)}, /*writes=*/true),
            Ask({"eval", "--run=" + Path(run), "--json"})};
  }

  using Answers = std::vector<std::string>;

  // Counts and reports answers that are neither the intact ones nor failures, from `first` on.
  // Returns whether one failed.
  static bool Compare(const Answers& answers, const Answers& intact, size_t first, Counts* counts) {
    bool failed = false;
    for (size_t i = first; i < answers.size(); ++i) {
      if (answers[i] == "failed") {
        failed = true;
      } else if (answers[i] != intact[i]) {
        ++counts->silent;
        ADD_FAILURE() << "silent, verb " << i << ": " << answers[i] << "\nexpected " << intact[i];
      }
    }
    return failed;
  }

  // Flips a bit in every `stride` bytes of the file, one at a time, and asks `check` and, by `ask`,
  // the other verbs: of the flips that `check` finds, only for each `ask_every`-th.
  static void FlipEach(const std::string& path, int64_t stride, int64_t ask_every,
                       const std::vector<std::string>& check, const std::function<Answers()>& ask,
                       const Answers& intact, Counts* counts) {
    const int64_t bytes = Bytes(path);
    for (int64_t byte = stride / 2; byte < bytes; byte += stride) {
      SCOPED_TRACE(absl::StrCat(path, ", byte ", byte));
      Flip(path, byte);
      ++counts->tried;
      const bool whole = Ask(check) != "failed";
      if (whole || counts->tried % ask_every == 0) {
        const bool failed = Compare(ask(), intact, 0, counts);
        EXPECT_FALSE(failed && whole) << "found by a verb, and not by check: " << last_error_;
        ++(failed ? counts->found : whole ? counts->harmless : counts->only_check);
      } else {
        ++counts->only_check;
      }
      Flip(path, byte);
    }
  }

  static void Print(const std::string& what, const Counts& counts) {
    std::cout << what << ": " << counts.tried << " bits flipped, " << counts.found
              << " found by a verb, " << counts.only_check << " by check, " << counts.harmless
              << " harmless, " << counts.silent << " silent\n";
  }

  static std::string* directory_;
  static std::string last_error_;
};

std::string* RunDamageTest::directory_ = nullptr;
std::string RunDamageTest::last_error_;

TEST_P(RunDamageTest, NoFlippedBitChangesWhatAVerbGives) {
  const std::string run = GetParam();
  const std::vector<std::string> intact = AskAll(run);
  for (const std::string& answer : intact) ASSERT_NE(answer, "failed") << last_error_;
  ASSERT_NE(Ask({"check", "--run=" + Path(run)}), "failed") << last_error_;
  Counts counts;
  for (const std::string& path : Files(run)) {
    FlipEach(
        path, Stride(Bytes(path), 4), EveryByte() ? kAskAll : 1, {"check", "--run=" + Path(run)},
        [&] { return AskAll(run); }, intact, &counts);
  }
  Print(run, counts);
  EXPECT_GT(counts.found, 0);
  EXPECT_EQ(AskAll(run), intact);
}

INSTANTIATE_TEST_SUITE_P(Runs, RunDamageTest,
                         testing::Values("flat-finished", "flat-interrupted", "all-finished",
                                         "all-interrupted"));

class ResumeDamageTest : public RunDamageTest {};

TEST_P(ResumeDamageTest, NoFlippedBitChangesWhatAResumedRunGives) {
  const std::string interrupted = GetParam();
  const std::string resumed = interrupted + "-resumed";
  const std::vector<std::string> train = {"train", "--config=" + ConfigOf(interrupted),
                                          "--out=" + Path(resumed), "--resume"};
  Copy(interrupted, resumed);
  ASSERT_NE(Ask(train), "failed") << last_error_;
  const std::vector<std::string> intact = AskAll(resumed);
  Counts counts;
  Copy(interrupted, resumed);
  for (const std::string& path : Files(resumed)) {
    Copy(interrupted, resumed);  // The run before was longer.
    const int64_t bytes = Bytes(path);
    const int64_t stride = std::max(Stride(bytes, 1), EveryByte() ? kAskAll : 1);
    for (int64_t byte = stride / 2; byte < bytes; byte += stride) {
      SCOPED_TRACE(absl::StrCat(path, ", byte ", byte));
      Copy(interrupted, resumed);
      Flip(path, byte);
      ++counts.tried;
      if (Ask(train) == "failed") {
        ++counts.found;
        continue;
      }
      ++counts.harmless;
      // Inspect, the first, prints the sizes of the run's files.
      Compare(AskAll(resumed), intact, 1, &counts);
    }
  }
  Print(resumed, counts);
  EXPECT_GT(counts.found, 0);
}

INSTANTIATE_TEST_SUITE_P(Runs, ResumeDamageTest,
                         testing::Values("flat-interrupted", "all-interrupted"));

// A store by itself, with names and dropped classes.
class StoreDamageTest : public RunDamageTest {
 protected:
  // What the verbs give that take a store; a drop is undone.
  static std::vector<std::string> AskStore(const std::string& store) {
    std::vector<std::string> answers = {Ask({"inspect", "--store=" + store, "--json"})};
    const std::string changed = Path("changed.h5");
    std::filesystem::copy_file(store, changed, std::filesystem::copy_options::overwrite_existing);
    answers.push_back(Ask({"classes", "drop", "--store=" + changed, "--classes=7"}));
    if (answers.back() != "failed") {
      answers.push_back(Ask({"inspect", "--store=" + changed, "--json"}));
    }
    return answers;
  }
};

TEST_P(StoreDamageTest, NoFlippedBitChangesWhatAVerbGives) {
  const std::string store = Path(GetParam() + ".h5");
  ASSERT_NE(Ask({"export", "--run=" + Path(GetParam()), "--output=" + store}), "failed")
      << last_error_;
  ASSERT_NE(Ask({"classes", "drop", "--store=" + store, "--classes=3,11"}), "failed")
      << last_error_;
  const std::vector<std::string> intact = AskStore(store);
  for (const std::string& answer : intact) ASSERT_NE(answer, "failed") << last_error_;
  ASSERT_NE(Ask({"check", "--store=" + store}), "failed") << last_error_;
  Counts counts;
  FlipEach(
      store, Stride(Bytes(store), 200), /*ask_every=*/1, {"check", "--store=" + store},
      [&] { return AskStore(store); }, intact, &counts);
  Print(GetParam() + ".h5", counts);
  EXPECT_GT(counts.found, 0);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreDamageTest, testing::Values("flat-finished", "all-finished"));

}  // namespace
}  // namespace protopage
