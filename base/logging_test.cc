#include "protopage/base/logging.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"

namespace protopage {
namespace {

// Sends stderr to another file for its lifetime.
class StderrTo {
 public:
  explicit StderrTo(int fd) : saved_(dup(STDERR_FILENO)) {
    PROTOPAGE_CHECK(saved_ >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
  }
  ~StderrTo() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
  }

 private:
  const int saved_;
};

// A socket whose reader gets each write(2) as one message.
class Messages {
 public:
  Messages() { PROTOPAGE_CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends_) == 0); }
  ~Messages() {
    close(ends_[0]);
    close(ends_[1]);
  }
  int writer() const { return ends_[1]; }
  std::string Read() const {
    char text[1000];
    const ssize_t size = recv(ends_[0], text, sizeof(text), 0);
    return std::string(text, size < 0 ? 0 : size);
  }

 private:
  int ends_[2];
};

TEST(LoggingTest, LevelsAndProgressAreWholeLines) {
  testing::internal::CaptureStderr();
  LogInfo("ready");
  LogWarning("slow");
  DrawProgress("step 1");
  DrawProgress("");
  LogError("bad");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "protopage: ready\nprotopage: warning: slow\nstep 1\nprotopage: error: bad\n");
}

TEST(LoggingTest, ALineIsOneWrite) {
  const Messages messages;
  const StderrTo redirected(messages.writer());
  LogWarning("slow");
  DrawProgress("step 1");
  LogInfo("ready");
  EXPECT_EQ(messages.Read(), "protopage: warning: slow\n");
  EXPECT_EQ(messages.Read(), "step 1\n");
  EXPECT_EQ(messages.Read(), "protopage: ready\n");
}

TEST(LoggingTest, LinesOfThreadsDoNotMix) {
  const Messages messages;
  const StderrTo redirected(messages.writer());
  constexpr int kThreads = 3, kLines = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kLines; ++i) {
        if (t == 0) {
          DrawProgress("thread 0");
        } else {
          LogInfo(absl::StrCat("thread ", t));
        }
      }
    });
  }
  std::map<std::string, int> count;
  for (int i = 0; i < kThreads * kLines; ++i) ++count[messages.Read()];
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, (std::map<std::string, int>{{"thread 0\n", kLines},
                                               {"protopage: thread 1\n", kLines},
                                               {"protopage: thread 2\n", kLines}}));
}

TEST(LoggingTest, AClosedStderrIsNoError) {
  const int null = open("/dev/null", O_RDONLY);  // Cannot be written to.
  ASSERT_GE(null, 0);
  const StderrTo redirected(null);
  LogInfo("nobody reads this");
  DrawProgress("nor this");
  close(null);
}

// Logs to a terminal and ends the process: with 0 if the terminal got the right characters.
void LogToTerminal() {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  PROTOPAGE_CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
  const int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  PROTOPAGE_CHECK(screen >= 0);
  termios raw;  // "\n" is to stay "\n".
  PROTOPAGE_CHECK(tcgetattr(screen, &raw) == 0);
  cfmakeraw(&raw);
  PROTOPAGE_CHECK(tcsetattr(screen, TCSANOW, &raw) == 0);
  bool is_terminal;
  {
    const StderrTo redirected(screen);
    is_terminal = StderrIsTerminal();
    LogInfo("ready");
    DrawProgress("step 1");
    DrawProgress("step 2");
    LogInfo("saved");
    DrawProgress("");
    LogInfo("done");
  }
  const std::string clear = "\r\x1b[2K";
  const std::string expected = absl::StrCat("protopage: ready\n", clear, "step 1", clear,
                                            "step 2",  // In the place of step 1.
                                            clear, "protopage: saved\nstep 2",  // Above step 2.
                                            clear, "protopage: done\n");
  std::string found;
  pollfd ready = {terminal, POLLIN, 0};
  while (found.size() < expected.size() && poll(&ready, 1, 10000) == 1) {
    char text[1000];
    const ssize_t size = read(terminal, text, sizeof(text));
    if (size <= 0) break;
    found.append(text, size);
  }
  if (found != expected) LogError(absl::StrCat("found: ", found));
  _exit(is_terminal && found == expected ? 0 : 1);
}

// In a process of its own: whether stderr is a terminal is found out once.
TEST(LoggingDeathTest, ATerminalHasOneProgressLineBelowTheLog) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(LogToTerminal(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace protopage
