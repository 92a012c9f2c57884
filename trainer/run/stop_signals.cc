#include "protopage/trainer/run/stop_signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>

namespace protopage {
namespace {

constexpr std::array<int, 5> kSignals = {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGALRM};

std::atomic<bool> stop_requested{false};
std::atomic<int> limit{StopSignals::kLimitSeconds};
std::atomic<bool> ignores_hangups{false};

// The functions below may be called in a handler: they use write() and the like only.

template <size_t size>
void Say(const char (&line)[size]) {
  // There is no other place to report that stderr is gone.
  if (write(STDERR_FILENO, line, size - 1) < 0) return;
}

void OnStopSignal(int) {
  const int saved_errno = errno;
  stop_requested = true;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (signal != SIGHUP || !ignores_hangups) std::signal(signal, SIG_DFL);
  }
  std::signal(SIGXCPU, SIG_IGN);  // It comes each second.
  alarm(static_cast<unsigned>(limit));
  Say("\nprotopage: stopping once this step is saved; a second signal ends the run at once\n");
  errno = saved_errno;
}

void OnLimit(int) {
  Say("protopage: interrupted while a step was waiting; --resume goes on from the last "
      "checkpoint\n");
  _exit(3);
}

}  // namespace

StopSignals::StopSignals(int limit_seconds) {
  stop_requested = false;
  limit = limit_seconds;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    old_[i] = std::signal(kSignals[i], kSignals[i] == SIGALRM ? OnLimit : OnStopSignal);
  }
  ignores_hangups = old_[2] == SIG_IGN;
  if (ignores_hangups) std::signal(SIGHUP, SIG_IGN);
}

StopSignals::~StopSignals() {
  alarm(0);
  for (size_t i = 0; i < kSignals.size(); ++i) std::signal(kSignals[i], old_[i]);
}

bool StopSignals::requested() { return stop_requested; }

void StopSignals::Saving() {
  if (stop_requested) alarm(0);
}

}  // namespace protopage
