#include "protopage/base/bfloat16.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace protopage {
namespace {

TEST(Bfloat16Test, EveryNumberComesBackAndWhatLiesBetweenGoesToTheNearest) {
  for (uint32_t b = 0; b < 65536; ++b) {
    const auto bits = static_cast<uint16_t>(b);
    const float x = Bfloat16ToFloat(bits);
    if (std::isnan(x)) {
      EXPECT_EQ(FloatToBfloat16(x), bits | 0x40) << "quiet, " << b;
      continue;
    }
    ASSERT_EQ(FloatToBfloat16(x), bits) << b;
    if (std::isinf(x)) continue;
    // The next one away from zero, and the middle, which goes to the even one of both.
    const double next = (b & 0x7fff) == 0x7f7f
                            ? std::copysign(std::ldexp(1.0, 128), x)
                            : static_cast<double>(Bfloat16ToFloat(static_cast<uint16_t>(b + 1)));
    const auto middle = static_cast<float>((static_cast<double>(x) + next) / 2);
    ASSERT_EQ(FloatToBfloat16(middle), b + b % 2) << b;
    ASSERT_EQ(FloatToBfloat16(std::nextafter(middle, 0.0f)), bits) << b;
    const float infinity = std::copysign(std::numeric_limits<float>::infinity(), x);
    ASSERT_EQ(FloatToBfloat16(std::nextafter(middle, infinity)), b + 1) << b;
  }
}

}  // namespace
}  // namespace protopage
