#include "protopage/model/testing/rounding_error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace protopage {
namespace {

TEST(RoundingErrorTest, IsThatOfTheFormats) {
  // The largest error of a number of 1 to 2 is at 1 and half a step.
  EXPECT_EQ(RoundingError(Precision::kFp16, 1), std::ldexp(1.0, -11));
  EXPECT_EQ(RoundingError(Precision::kBf16, 1), std::ldexp(1.0, -8));
  EXPECT_EQ(RoundingError(Precision::kTf32, 1), std::ldexp(1.0, -10));
  EXPECT_EQ(RoundingError(Precision::kFloat32, 1), std::ldexp(1.0, -24));
  EXPECT_EQ(RoundingError(Precision::kFloat32, 576), std::ldexp(24.0, -24));
}

TEST(RoundingErrorTest, PerturbsEachValueByUpToTheRelativeError) {
  const std::vector<float> values(1000, -4.0f);
  std::vector<float> perturbed = values, again = values, other = values;
  PerturbRelatively(0.25, 1, 2, &perturbed);
  PerturbRelatively(0.25, 1, 2, &again);
  PerturbRelatively(0.25, 1, 3, &other);
  EXPECT_EQ(perturbed, again);
  EXPECT_NE(perturbed, other);
  const auto [low, high] = std::minmax_element(perturbed.begin(), perturbed.end());
  EXPECT_GE(*low, -5.0f);
  EXPECT_LT(*low, -4.9f);
  EXPECT_LE(*high, -3.0f);
  EXPECT_GT(*high, -3.1f);
}

TEST(RoundingErrorTest, BoundsFollowTheLargestDifferenceSoFar) {
  const std::vector<double> bounds =
      RoundingBounds({1.0, 2.0, 3.0, 4.0}, {{1.0, 2.5, 3.0, 4.0}, {1.0, 2.0, 2.75, 5.0}}, 24.0);
  const auto least = [](double loss) { return std::ldexp(8.0 * (24.0 + loss), -24); };
  EXPECT_EQ(bounds, (std::vector<double>{least(1.0), kRoundingHeadroom * 0.5 + least(2.0),
                                         kRoundingHeadroom * 0.5 + least(3.0),
                                         kRoundingHeadroom * 1.0 + least(4.0)}));
}

}  // namespace
}  // namespace protopage
