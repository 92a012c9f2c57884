#include "protopage/base/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

namespace protopage {
namespace {

// OpenBLAS starts a thread for each processor when the program is loaded, each of which tries until
// it has a buffer of 128 MiB, for ever where memory is limited. This runs before: constructors with
// a priority come first.
__attribute__((constructor(101))) void KeepOpenBlasFromStartingThreads() {
  setenv("OPENBLAS_NUM_THREADS", "1", /*overwrite=*/1);
}

void Append(const char* part, char* line, size_t size) {
  std::strncat(line, part, size - std::strlen(line) - 1);
}

// Without the logging library, which allocates and locks.
void WriteError(const char* what, const char* detail) {
  char line[512] = "protopage: error: ";
  Append(what, line, sizeof(line) - 1);
  Append(detail, line, sizeof(line) - 1);
  std::strcat(line, "\n");
  // There is no other place to report that stderr is gone.
  if (write(STDERR_FILENO, line, std::strlen(line)) < 0) return;
}

[[noreturn]] void EndWith(const char* what, const char* detail = "") {
  WriteError(what, detail);
  _exit(1);
}

// The handler of exceptions that nothing caught. Our code throws none, so they are the standard
// library's.
[[noreturn]] void OnTerminate() {
  static std::atomic<bool> ending{false};
  while (ending.exchange(true)) pause();  // Another thread ends the process.
  if (std::exception_ptr current = std::current_exception(); current != nullptr) {
    try {
      std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
      EndWith(
          "out of memory; the machine, or a limit (ulimit -v, that of a container) has no more");
    } catch (const std::system_error& error) {
      EndWith("the system refuses: ", error.what());
    } catch (const std::exception& error) {
      WriteError("internal error: ", error.what());
    } catch (...) {
      WriteError("internal error: unknown exception", "");
    }
  }
  std::abort();
}

}  // namespace

void PrepareProcess() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // Gets the lowest number that is free, which is `fd`. In the wrong direction, so that results
    // written to a closed stdout are an error.
    const int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) _exit(1);  // There is no place to report it.
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  std::set_terminate(OnTerminate);
  // The stack grows until this limit, which may be raised now.
  constexpr rlim_t kLeastMainStack = rlim_t{256} << 10;
  rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < kLeastMainStack) {
    limit.rlim_cur = std::min(limit.rlim_max, kLeastMainStack);
    if (limit.rlim_cur < kLeastMainStack || setrlimit(RLIMIT_STACK, &limit) != 0) {
      EndWith("the limit on the stack (ulimit -s) is below 256 KiB");
    }
  }
  // Threads get stacks of the size that the main thread's may have (ulimit -s).
  constexpr size_t kLeastStack = size_t{1} << 20;
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) != 0) return;
  size_t stack = 0;
  if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < kLeastStack &&
      pthread_attr_setstacksize(&attributes, kLeastStack) == 0) {
    pthread_setattr_default_np(&attributes);
  }
  pthread_attr_destroy(&attributes);
}

}  // namespace protopage
