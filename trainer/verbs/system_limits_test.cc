// The limits of the system, met by the program as a process of its own: closed or full standard
// streams, limits on threads, memory and files, signals, pipes. Whatever is missing, the user sees
// one line and a status; nothing hangs, crashes or is written to the wrong file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/file.h"
#include "protopage/base/status_matchers.h"
#include "protopage/trainer/testing/test_images.h"

namespace protopage {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// All kinds of stages, and an index for which FAISS computes centroids.
constexpr char kConfig[] = R"({
  "threads": 1, "loader_threads": 1, "log_every_steps": 1, "checkpoint_every_steps": 2,
  "data": {"type": "synthetic", "image_size": 18, "channels": 1,
           "synthetic": {"source_classes": 6, "target_classes": 300, "unseen_classes": 2,
                         "train_images": 1, "test_images": 1}},
  "model": {"embedding_dim": 64},
  "prototypes": {"index": "ivf_sq8", "index_lists": 8, "cache_bytes": 1048576},
  "selection": {"classes_per_step": 16, "positive_classes": 4, "dominant_queue": 4,
                "candidate_queue": 6, "look_ahead": 1, "images_for": "positives"},
  "stages": [{"name": "source", "steps": 2, "batch_size": 4},
             {"name": "imprint"},
             {"name": "dominant", "steps": 6, "batch_size": 4},
             {"name": "evaluate"}]
})";

class SystemLimitsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // The program stands in the runfiles, where tests start.
    program_ = new std::string(std::filesystem::absolute("trainer/protopage"));
    dir_ = new std::string(absl::StrCat(testing::TempDir(), "/system_limits_test_", getpid()));
    PROTOPAGE_ASSERT_OK(fs()->CreateDirectories(*dir_));
    std::filesystem::current_path(*dir_);
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs(), "c.json", kConfig));
    PROTOPAGE_ASSERT_OK(WriteTinyFolder("images", 3, 0, 1, kTinySide));
    ASSERT_EQ(Sh("$P train --config=c.json --out=run >/dev/null 2>err"), 0) << Read("err");
    ASSERT_EQ(Sh("$P export --run=run --output=store.h5 2>err"), 0) << Read("err");
  }

  static FileSystem* fs() { return DefaultFileSystem(); }
  static std::string Read(const std::string& name) {
    absl::StatusOr<std::string> content = ReadFile(fs(), name);
    PROTOPAGE_EXPECT_OK(content);
    return content.value_or("");
  }

  // The exit status of a command of a shell in which $P is the program; 128 + N when signal N ended
  // it. It has a minute.
  static int Sh(const std::string& command) {
    setenv("P", program_->c_str(), 1);
    setenv("COMMAND", command.c_str(), 1);
    const int status = std::system("timeout -s KILL 60 bash -c \"$COMMAND\"");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // The lines that a command wrote to the file `err`.
  static std::vector<std::string> ErrorLines() {
    return absl::StrSplit(Read("err"), '\n', absl::SkipEmpty());
  }

  // A command that failed for want of something said so in its last line.
  static void ExpectErrorLine(const std::string& what) {
    const std::vector<std::string> lines = ErrorLines();
    ASSERT_FALSE(lines.empty());
    EXPECT_THAT(lines.back(), MatchesRegex("protopage: error: .*")) << Read("err");
    EXPECT_THAT(lines.back(), HasSubstr(what));
  }

  static std::string* dir_;
  static std::string* program_;
};

std::string* SystemLimitsTest::dir_ = nullptr;
std::string* SystemLimitsTest::program_ = nullptr;

TEST_F(SystemLimitsTest, ClosedStandardDescriptorsAreNotGivenToFiles) {
  ASSERT_EQ(Sh("$P embed --run=run --input=images --output=good.npy 2>err"), 0) << Read("err");
  EXPECT_EQ(Sh("$P embed --run=run --input=images --output=closed.npy <&- >&- 2>&-"), 0);
  EXPECT_EQ(Read("closed.npy"), Read("good.npy"));
  // The results have no place to go.
  EXPECT_EQ(Sh("$P train --config=c.json --out=closed >&- 2>&-"), 1);
  EXPECT_EQ(Sh("grep -rl 'protopage: ' closed"), 1);  // In no file.
  EXPECT_EQ(Read("closed/results.json"), Read("run/results.json"));
}

TEST_F(SystemLimitsTest, ResultsThatCannotBeWrittenAreAnError) {
  for (const std::string verb :
       {"--help", "--version", "train --help", "eval --run=run", "eval --run=run --json",
        "inspect --run=run", "inspect --run=run --json", "plan --config=c.json",
        "plan --config=c.json --json", "train --config=c.json --out=full1",
        "train --config=c.json --out=full2 --json",
        "classes add --store=store.h5 --run=run --input=images --json"}) {
    EXPECT_EQ(Sh(absl::StrCat("$P ", verb, " >/dev/full 2>err")), 1) << verb;
    ExpectErrorLine("cannot write to standard output: No space left on device");
  }
  EXPECT_EQ(Sh("$P --version >&- 2>err"), 1);
  ExpectErrorLine("cannot write to standard output");
  // A pipe whose reader has gone.
  EXPECT_EQ(Sh("mkfifo pipe; (exec 3<pipe) & exec 4>pipe; wait; $P eval --run=run >&4 2>err"), 1);
  ExpectErrorLine("cannot write to standard output: Broken pipe");
}

TEST_F(SystemLimitsTest, MessagesThatCannotBeWrittenDoNotEndARun) {
  EXPECT_EQ(Sh("$P train --config=c.json --out=silent >out 2>/dev/full"), 0);
  EXPECT_EQ(Sh("mkfifo pipe2; (exec 3<pipe2) & exec 4>pipe2; wait; "
               "$P train --config=c.json --out=silent2 >out 2>&4"),
            0);
}

TEST_F(SystemLimitsTest, AFileBeyondTheLimitIsNamedAndTheRunGoesOnWithoutIt) {
  EXPECT_EQ(Sh("ulimit -f 100; $P train --config=c.json --out=large >out 2>err"), 1);
  ExpectErrorLine("File too large");
  ExpectErrorLine("large/");
  EXPECT_EQ(Sh("$P train --config=c.json --out=large --resume >out 2>err"), 0) << Read("err");
  EXPECT_EQ(Read("large/results.json"), Read("run/results.json"));
}

TEST_F(SystemLimitsTest, AFewDescriptorsSuffice) {
  EXPECT_EQ(Sh("ulimit -n 64; $P train --config=c.json --out=few >out 2>err"), 0) << Read("err");
  EXPECT_EQ(Sh("ulimit -n 8; $P train --config=c.json --out=fewer >out 2>err"), 1);
  ExpectErrorLine("Too many open files");
}

// Stacks of threads are as large as the stack may become: none has room here. Unlike a limit on
// processes, this one holds for root.
TEST_F(SystemLimitsTest, NoThreadIsOneLine) {
  const std::string none = "ulimit -s 200000000000; $P ";
  const std::string set = " --set threads=3 2>err >out";
  EXPECT_EQ(Sh(absl::StrCat(none, "train --config=c.json --out=threads", set)), 1);
  ExpectErrorLine("cannot start a thread");
  EXPECT_FALSE(fs()->Exists("threads"));
  EXPECT_EQ(Sh(absl::StrCat(none, "train --config=c.json --out=loader 2>err >out")), 1);
  ExpectErrorLine("cannot start a thread");
  for (const std::string verb : {"eval --run=run", "embed --run=run --input=images --output=no.npy",
                                 "plan --config=c.json"}) {
    EXPECT_EQ(Sh(absl::StrCat(none, verb, set)), 1) << verb;
    ExpectErrorLine("cannot start a thread");
  }
  EXPECT_EQ(Sh(absl::StrCat(none, "--version 2>err >out")), 0);
}

TEST_F(SystemLimitsTest, LittleMemoryIsOneLine) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer needs terabytes of addresses";
#endif
  const std::vector<std::string> commands = {
      "train --config=c.json --out=memory$KB", "eval --run=run", "inspect --run=run",
      "embed --run=run --input=images --output=memory.npy", "plan --config=c.json"};
  for (const int kb : {50000, 70000, 90000, 120000, 160000, 220000, 300000, 500000}) {
    for (const std::string& command : commands) {
      const int status =
          Sh(absl::StrCat("KB=", kb, "; ulimit -v $KB; $P ", command, " >out 2>err"));
      EXPECT_TRUE(status == 0 || status == 1) << command << " with " << kb << ": " << status;
      if (status == 0) continue;
      ExpectErrorLine("");
      EXPECT_THAT(Read("err"), Not(HasSubstr("internal error")));
    }
  }
}

TEST_F(SystemLimitsTest, AConfigMayComeThroughAPipe) {
  EXPECT_EQ(Sh("$P train --config=<(cat c.json) --out=pipe_run >out 2>err"), 0) << Read("err");
  EXPECT_EQ(Sh("cat c.json | $P plan --config=/dev/stdin >out 2>err"), 0) << Read("err");
  EXPECT_EQ(Sh("$P plan --config=/dev/stdin <c.json >out 2>err"), 0) << Read("err");
  EXPECT_EQ(Sh("mkfifo c.fifo; cat c.json >c.fifo & $P plan --config=c.fifo >out 2>err"), 0);
  // One that never ends.
  EXPECT_EQ(Sh("yes | $P plan --config=/dev/stdin >out 2>err"), 2);
  ExpectErrorLine("more than the 67108864 bytes allowed");
  for (const std::string device : {"/dev/zero", "/dev/null"}) {
    EXPECT_EQ(Sh(absl::StrCat("$P plan --config=", device, " >out 2>err")), 2);
    ExpectErrorLine("it is a device, not a plain file");
  }
  EXPECT_EQ(Sh("$P plan --config=images >out 2>err"), 2);
  ExpectErrorLine("Is a directory");
}

// Sends $SIGNAL to a run in $OUT that has a checkpoint of its last stage but one.
constexpr char kInterrupt[] =
    "$P train --config=c.json --out=$OUT $SET >out 2>err & p=$!; "
    "until compgen -G \"$OUT/checkpoints/*02/DONE\"; do kill -0 $p || break; sleep 0.02; "
    "done; "
    "kill -$SIGNAL $p; wait $p";

TEST_F(SystemLimitsTest, EachStopSignalSavesTheRun) {
  for (const std::string signal : {"HUP", "INT", "TERM"}) {
    EXPECT_EQ(Sh(absl::StrCat("OUT=stop_", signal, " SIGNAL=", signal,
                              " SET='--set stages[2].steps=100000'; ", kInterrupt)),
              3)
        << Read("err");
    EXPECT_THAT(ErrorLines().back(), HasSubstr("--resume goes on"));
  }
}

}  // namespace
}  // namespace protopage
