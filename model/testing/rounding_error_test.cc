#include "protopage/model/testing/rounding_error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
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

// "Losses" of steps: sums of the weights.
TEST(RoundingErrorTest, TheExampleOfTheHeader) {
  const Precision precision = Precision::kBf16;
  const int64_t depth = 100;
  std::vector<float> weights(100, 0.5f);
  const std::vector<double> losses = {50.0}, cuda_losses = {50.0 + 1e-3};
  const size_t step = 0;
  std::vector<std::vector<double>> runs;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    weights.assign(100, 0.5f);
    PerturbRelatively(RoundingError(precision, depth), seed, step, &weights);
    runs.push_back({std::accumulate(weights.begin(), weights.end(), 0.0)});
  }
  const std::vector<double> bounds = RoundingBounds(losses, runs, 24.0);
  EXPECT_NEAR(cuda_losses[step], losses[step], bounds[step]);
}

}  // namespace
}  // namespace protopage
