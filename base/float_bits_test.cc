#include "protopage/base/float_bits.h"

#include <gtest/gtest.h>

#include <limits>

namespace protopage {
namespace {

TEST(FloatBitsTest, TheExampleOfTheHeader) {
  const uint32_t sign = FloatBits(-1.5f) >> 31;  // 1
  const float one = FloatFromBits(0x3f800000);
  EXPECT_EQ(sign, 1u);
  EXPECT_EQ(one, 1.0f);
}

TEST(FloatBitsTest, EveryKindOfNumberComesBack) {
  for (const uint32_t bits : {0u, 0x80000000u, 1u, 0x7f800000u, 0x7fc00001u, 0x3dcccccdu}) {
    EXPECT_EQ(FloatBits(FloatFromBits(bits)), bits);
  }
  EXPECT_EQ(FloatBits(std::numeric_limits<float>::infinity()), 0x7f800000u);
}

}  // namespace
}  // namespace protopage
