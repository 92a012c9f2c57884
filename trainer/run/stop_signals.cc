#include "protopage/trainer/run/stop_signals.h"

#include <atomic>
#include <csignal>

namespace protopage {
namespace {

std::atomic<bool> stop_requested{false};

void OnStopSignal(int signal) {
  stop_requested = true;
  std::signal(signal, SIG_DFL);  // The next one ends the process.
}

}  // namespace

StopSignals::StopSignals() {
  stop_requested = false;
  old_interrupt_ = std::signal(SIGINT, OnStopSignal);
  old_terminate_ = std::signal(SIGTERM, OnStopSignal);
}

StopSignals::~StopSignals() {
  std::signal(SIGINT, old_interrupt_);
  std::signal(SIGTERM, old_terminate_);
}

bool StopSignals::requested() { return stop_requested; }

}  // namespace protopage
