#include "protopage/trainer/run/stop_signals.h"

#include <gtest/gtest.h>

#include <csignal>

namespace protopage {
namespace {

int steps = 0;
void TrainOneStep() {
  if (++steps == 3) std::raise(SIGTERM);
}

TEST(StopSignalsTest, TheExampleOfTheHeader) {
  const StopSignals signals;
  while (!StopSignals::requested()) TrainOneStep();
  EXPECT_EQ(steps, 3);
}

TEST(StopSignalsTest, TheNextOneForgetsAndTheOldHandlersReturn) {
  std::signal(SIGINT, SIG_IGN);
  {
    const StopSignals signals;
    std::raise(SIGINT);
    EXPECT_TRUE(StopSignals::requested());
  }
  std::raise(SIGINT);  // Ignored again.
  const StopSignals signals;
  EXPECT_FALSE(StopSignals::requested());
}

TEST(StopSignalsDeathTest, ASecondSignalEndsTheProcess) {
  const auto raise_twice = [] {
    const StopSignals signals;
    std::raise(SIGINT);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(raise_twice(), testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace protopage
