#include "protopage/base/fixed_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "protopage/base/random.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr double kUnit = 1.0 / 16777216;  // Random numbers in [0, 1) are multiples of it.

TEST(FixedMathTest, TheExampleOfTheHeader) {
  const double u = 0.25, v = 0.5;
  const double radius = std::sqrt(-2 * FixedLog(u));
  const double x = radius * FixedCosTurns(v);  // v in turns: cos(2 pi v).
  EXPECT_NEAR(x, -std::sqrt(2 * std::log(4.0)), 1e-15);
}

TEST(FixedMathTest, LogIsWithinItsBoundOfTheLongDouble) {
  EXPECT_EQ(FixedLog(1), 0);
  RandomStream random(1, RandomPurpose::kTest, 0);
  for (int i = 0; i < 200000; ++i) {
    const double x = kUnit * static_cast<double>(1 + random.Below((1 << 24) - 1));
    const long double exact = std::log(static_cast<long double>(x));
    EXPECT_LE(std::abs((FixedLog(x) - exact) / exact), 3e-16L) << x;
  }
  for (const double x : {0x1p-1022, 0x1.fffffffffffffp+1023, 3.0, 1e10, 0x1.fffffffffffffp-1}) {
    const long double exact = std::log(static_cast<long double>(x));
    EXPECT_LE(std::abs((FixedLog(x) - exact) / exact), 3e-16L) << x;
  }
}

TEST(FixedMathTest, CosIsWithinItsBoundOfTheLongDouble) {
  EXPECT_EQ(FixedCosTurns(0), 1);
  EXPECT_EQ(FixedCosTurns(0.25), 0);
  EXPECT_EQ(FixedCosTurns(-0.5), -1);
  EXPECT_EQ(FixedCosTurns(3.75), 0);
  RandomStream random(2, RandomPurpose::kTest, 0);
  for (int i = 0; i < 200000; ++i) {
    const double v = kUnit * static_cast<double>(random.Below(1 << 24)) - 0.5;
    const long double exact = std::cos(2 * 3.14159265358979323846264338327950288L * v);
    EXPECT_LE(std::abs(FixedCosTurns(v) - exact), 2e-16L) << v;
  }
}

// Files hold only the seed of rows that were never written, so these bits are part of their format.
TEST(FixedMathTest, TheBitsOfNormalsAreTheseForever) {
  RandomStream random(7, RandomPurpose::kPrototypeInit, 5);
  float normals[100000];
  for (float& x : normals) x = random.Normal();
  EXPECT_EQ(normals[0], 0x1.a0ce28p-1f);
  EXPECT_EQ(normals[3], 0x1.c14754p+0f);
  EXPECT_EQ(XXH3_64bits(normals, sizeof(normals)), 0x4ea74ba45cb3e44du);
}

// Of the C library's log and cos, at most the last place of a few differs.
TEST(FixedMathTest, NormalsByLibmAreNearlyTheSame) {
  RandomStream fixed(8, RandomPurpose::kTest, 0), libm(8, RandomPurpose::kTest, 0);
  int64_t different = 0;
  for (int i = 0; i < 1000000; ++i) {
    const float x = fixed.Normal(), y = libm.NormalByLibm();
    EXPECT_LE(std::abs(x - y), 0x1p-22f);
    different += x != y;
  }
  EXPECT_LE(different, 10);
}

}  // namespace
}  // namespace protopage
