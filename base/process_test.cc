#include "protopage/base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <system_error>

namespace protopage {
namespace {

int Run(int argc, char**) { return argc; }
// The test has a main function of its own.
#define main ExampleMain
int main(int argc, char** argv) {
  PrepareProcess();
  return Run(argc, argv);
}
#undef main

TEST(PrepareProcessDeathTest, TheExampleOfTheHeader) {
  EXPECT_EXIT(std::_Exit(ExampleMain(5, nullptr)), testing::ExitedWithCode(5), "");
}

TEST(PrepareProcessDeathTest, ClosedStandardDescriptorsAreNotGivenToFiles) {
  const auto open_one = [] {
    for (const int fd : {0, 1, 2}) close(fd);
    PrepareProcess();
    const bool reads = read(0, nullptr, 0) == 0 || errno != EBADF;
    const bool writes = write(1, "", 0) == 0 || write(2, "", 0) == 0;
    const int fd = open("/dev/null", O_RDONLY);
    std::_Exit(reads || writes ? 1 : fd);
  };
  EXPECT_EXIT(
      open_one(), [](int status) { return WIFEXITED(status) && WEXITSTATUS(status) > 2; }, "");
}

TEST(PrepareProcessDeathTest, ClosedPipesAndLimitsOnFilesAreErrors) {
  const auto write_both = [] {
    PrepareProcess();
    int ends[2];
    if (pipe(ends) != 0) std::_Exit(9);
    close(ends[0]);
    if (write(ends[1], "x", 1) >= 0 || errno != EPIPE) std::_Exit(1);
    const rlimit none = {0, 0};
    if (setrlimit(RLIMIT_FSIZE, &none) != 0) std::_Exit(9);
    const int fd = open(testing::TempDir().c_str(), O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) std::_Exit(9);
    if (write(fd, "x", 1) >= 0 || errno != EFBIG) std::_Exit(2);
    std::_Exit(0);
  };
  EXPECT_EXIT(write_both(), testing::ExitedWithCode(0), "");
}

TEST(PrepareProcessDeathTest, WantOfMemoryOrThreadsIsOneLineAndStatus1) {
  const auto no_memory = []() noexcept {
    PrepareProcess();
    std::rethrow_exception(std::make_exception_ptr(std::bad_alloc()));
  };
  EXPECT_EXIT(no_memory(), testing::ExitedWithCode(1), "^protopage: error: out of memory;.*\n$");
  const auto no_thread = []() noexcept {
    PrepareProcess();
    std::rethrow_exception(
        std::make_exception_ptr(std::system_error(EAGAIN, std::generic_category())));
  };
  EXPECT_EXIT(no_thread(), testing::ExitedWithCode(1),
              "^protopage: error: the system refuses: Resource temporarily unavailable\n$");
}

TEST(PrepareProcessDeathTest, ALimitOnTheStackIsRaisedOrNamed) {
  const auto prepare = [](rlim_t hard) {
    const rlimit limit = {64 << 10, hard};
    if (setrlimit(RLIMIT_STACK, &limit) != 0) std::_Exit(9);
    PrepareProcess();
    rlimit now;
    getrlimit(RLIMIT_STACK, &now);
    std::_Exit(now.rlim_cur == 256 << 10 ? 0 : 2);
  };
  EXPECT_EXIT(prepare(1 << 20), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(prepare(64 << 10), testing::ExitedWithCode(1),
              "^protopage: error: the limit on the stack");
}

TEST(PrepareProcessDeathTest, OtherExceptionsAreFaultsOfTheProgram) {
  const auto length = []() noexcept {
    PrepareProcess();
    std::string().reserve(std::string::npos);
  };
  EXPECT_EXIT(length(), testing::KilledBySignal(SIGABRT), "internal error: basic_string");
}

TEST(PrepareProcessTest, OpenBlasIsToldToStartNoThreads) {
  PrepareProcess();
  EXPECT_STREQ(getenv("OPENBLAS_NUM_THREADS"), "1");
}

}  // namespace
}  // namespace protopage
