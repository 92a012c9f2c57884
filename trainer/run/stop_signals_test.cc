#include "protopage/trainer/run/stop_signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

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

TEST(StopSignalsTest, SighupStopsTooUnlessItIsIgnored) {
  {
    const StopSignals signals;
    std::raise(SIGHUP);
    EXPECT_TRUE(StopSignals::requested());
  }
  std::signal(SIGHUP, SIG_IGN);
  const StopSignals signals;
  std::raise(SIGHUP);
  EXPECT_FALSE(StopSignals::requested());
  std::raise(SIGTERM);
  std::raise(SIGHUP);  // Still ignored.
  EXPECT_TRUE(StopSignals::requested());
}

TEST(StopSignalsTest, TheLimitOnCpuTimeStopsOnceHoweverOftenItIsSignalled) {
  const StopSignals signals;
  std::raise(SIGXCPU);
  EXPECT_TRUE(StopSignals::requested());
  std::raise(SIGXCPU);
}

TEST(StopSignalsDeathTest, ASecondSignalEndsTheProcess) {
  const auto raise_twice = [](int second) {
    const StopSignals signals;
    std::raise(SIGINT);
    std::raise(second);
  };
  EXPECT_EXIT(raise_twice(SIGINT), testing::KilledBySignal(SIGINT), "a second signal ends");
  EXPECT_EXIT(raise_twice(SIGTERM), testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignalsDeathTest, AWaitEndsAtTheLimitUnlessTheRunIsBeingSaved) {
  const auto wait = [](bool saving) {
    const StopSignals signals(/*limit_seconds=*/1);
    std::raise(SIGTERM);
    if (saving) StopSignals::Saving();
    sleep(2);
    _exit(7);
  };
  EXPECT_EXIT(wait(false), testing::ExitedWithCode(3), "--resume goes on from the last checkpoint");
  EXPECT_EXIT(wait(true), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace protopage
