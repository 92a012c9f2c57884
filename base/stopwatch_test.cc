#include "protopage/base/stopwatch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace protopage {
namespace {

TEST(StopwatchTest, CountsSecondsSinceItWasMade) {
  const Stopwatch stopwatch;
  const double first = stopwatch.Seconds();
  EXPECT_GE(first, 0.0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(stopwatch.Seconds() - first, 0.02);  // A sleep is never shorter.
}

TEST(StopwatchTest, TheExampleOfTheHeader) {
  struct {
    double seconds = -1;
  } report;
  const auto Work = [] {};
  const Stopwatch stopwatch;
  Work();
  report.seconds = stopwatch.Seconds();
  EXPECT_GE(report.seconds, 0);
}

}  // namespace
}  // namespace protopage
