#include "protopage/eval/wilson_interval.h"

#include <gtest/gtest.h>

#include <cmath>

namespace protopage {
namespace {

TEST(WilsonInterval, GivesThePublishedExample) {
  // 81 of 263: [0.2553, 0.3662]; 15 of 148: [0.0624, 0.1605]; 1 of 29: [0.0061, 0.1718]
  // (R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3).
  EXPECT_NEAR(WilsonInterval(81, 263).low, 0.2553, 5e-5);
  EXPECT_NEAR(WilsonInterval(81, 263).high, 0.3662, 5e-5);
  EXPECT_NEAR(WilsonInterval(15, 148).low, 0.0624, 5e-5);
  EXPECT_NEAR(WilsonInterval(15, 148).high, 0.1605, 5e-5);
  EXPECT_NEAR(WilsonInterval(1, 29).low, 0.0061, 5e-5);
  EXPECT_NEAR(WilsonInterval(1, 29).high, 0.1718, 5e-5);
}

TEST(WilsonInterval, EndsSolveTheScoreEquation) {
  // |p - q| = z sqrt(q (1 - q) / n) for both ends q.
  for (const double z : {1.0, 1.959964, 3.0}) {
    const Interval interval = WilsonInterval(17, 60, z);
    for (const double q : {interval.low, interval.high}) {
      EXPECT_NEAR(std::abs(17.0 / 60 - q), z * std::sqrt(q * (1 - q) / 60), 1e-12);
    }
  }
}

TEST(WilsonInterval, StaysInsideZeroAndOne) {
  EXPECT_EQ(WilsonInterval(0, 20).low, 0);
  EXPECT_NEAR(WilsonInterval(0, 20).high, 0.1611, 5e-5);
  EXPECT_EQ(WilsonInterval(20, 20).high, 1);
  EXPECT_NEAR(WilsonInterval(20, 20).low, 1 - 0.1611, 5e-5);
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

}  // namespace
}  // namespace protopage
