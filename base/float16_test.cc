#include "protopage/base/float16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "protopage/base/float_bits.h"
#include "protopage/base/random.h"

namespace protopage {
namespace {

// By the definition of the format.
double Value(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double sign = half >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign *
         (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

TEST(Float16Test, TheExampleOfTheHeader) {
  std::vector<float> floats = {1.0f, -2.5f, 0.1f};
  const int64_t n = static_cast<int64_t>(floats.size());
  std::vector<uint16_t> halves(n);
  FloatsToHalves(floats.data(), n, halves.data());
  HalvesToFloats(halves.data(), n, floats.data());
  EXPECT_EQ(floats[0], 1.0f);
  EXPECT_EQ(floats[1], -2.5f);
  EXPECT_NEAR(floats[2], 0.1f, 0.1f / 2048);
}

TEST(Float16Test, EveryHalfIsItsValueAndComesBack) {
  for (uint32_t h = 0; h <= 0xffff; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float x = HalfToFloat(half);
    const double want = Value(half);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(x)) << h;
      EXPECT_EQ(FloatToHalf(x), half | 0x200) << "quiet, " << h;
    } else {
      EXPECT_EQ(x, want) << h;
      EXPECT_EQ(std::signbit(x), h >= 0x8000) << h;
      EXPECT_EQ(FloatToHalf(x), half) << h;
    }
  }
}

// Between each half and the next: floats just below the middle are rounded down, just above it up,
// and the middle to the even one of the two. 65504 is followed by infinity, in the place of 65536.
TEST(Float16Test, FloatsGoToTheNearestHalfAndTiesToEven) {
  for (uint16_t low = 0; low < 0x7c00; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    const double above = high == 0x7c00 ? 65536.0 : Value(high);
    const auto middle = static_cast<float>((Value(low) + above) / 2);  // Exact.
    const uint16_t even = low % 2 == 0 ? low : high;
    for (const uint16_t sign : {0, 0x8000}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      EXPECT_EQ(FloatToHalf(s * middle), sign | even) << low;
      EXPECT_EQ(FloatToHalf(s * std::nextafter(middle, 0.0f)), sign | low) << low;
      EXPECT_EQ(FloatToHalf(s * std::nextafter(middle, 1e9f)), sign | high) << low;
    }
  }
}

TEST(Float16Test, TheEndsOfTheRange) {
  EXPECT_EQ(FloatToHalf(65504.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(FloatToHalf(-INFINITY), 0xfc00);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);
  EXPECT_EQ(FloatToHalf(std::nextafter(0x1p-25f, 1.0f)), 1);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
  EXPECT_EQ(FloatToHalf(FloatFromBits(0x7f800001)), 0x7e00);
  EXPECT_EQ(FloatToHalf(FloatFromBits(0xffffffff)), 0xffff);
}

// Bit by bit, whatever instructions do it, at all lengths around a register's.
TEST(Float16Test, ManyAreConvertedAsOne) {
  RandomStream random(1, RandomPurpose::kTest, 1);
  std::vector<float> x(1 << 20);
  for (float& v : x) v = FloatFromBits(static_cast<uint32_t>(random.Next()));
  std::vector<uint16_t> halves(x.size());
  FloatsToHalves(x.data(), static_cast<int64_t>(x.size()), halves.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(halves[i], FloatToHalf(x[i])) << std::hex << FloatBits(x[i]);
  }
  std::vector<uint16_t> all(65536);
  for (size_t h = 0; h < all.size(); ++h) all[h] = static_cast<uint16_t>(h);
  std::vector<float> floats(all.size());
  HalvesToFloats(all.data(), static_cast<int64_t>(all.size()), floats.data());
  for (size_t h = 0; h < all.size(); ++h) {
    ASSERT_EQ(FloatBits(floats[h]), FloatBits(HalfToFloat(all[h]))) << h;
  }
  for (int64_t n = 0; n < 40; ++n) {
    std::vector<uint16_t> some(n + 1, 0x1234);
    FloatsToHalves(x.data(), n, some.data());
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(some[i], FloatToHalf(x[i]));
    EXPECT_EQ(some[n], 0x1234);
    std::vector<float> back(n + 1, 5.0f);
    HalvesToFloats(some.data(), n, back.data());
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(FloatBits(back[i]), FloatBits(HalfToFloat(some[i])));
    EXPECT_EQ(back[n], 5.0f);
  }
}

}  // namespace
}  // namespace protopage
