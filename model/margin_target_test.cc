#include "protopage/model/margin_target.h"

#include <gtest/gtest.h>

#include <cmath>

namespace protopage {
namespace {

TEST(MarginTargetTest, TheExampleOfTheHeader) {
  const MarginParams params;
  double target, slope;
  MarginTarget(params, /*cosine=*/0.5, &target, &slope);  // AM-Softmax: .5 - margin, 1.
  EXPECT_EQ(target, 0.5 - static_cast<double>(params.margin));
  EXPECT_EQ(slope, 1.0);
}

// The slope against central differences, away from the ends and from the corner of kAdditiveAngle.
TEST(MarginTargetTest, TheSlopeIsTheDerivative) {
  for (const MarginKind kind :
       {MarginKind::kAdditiveCosine, MarginKind::kAdditiveAngle, MarginKind::kCombined}) {
    MarginParams params;
    params.kind = kind;
    params.margin = 0.3f, params.m1 = 1.5f, params.m2 = 0.2f;
    for (const double cosine : {-0.99, -0.5, 0.0, 0.3, 0.9}) {
      const double h = 1e-6;
      double above, below, target, slope, ignored;
      MarginTarget(params, cosine + h, &above, &ignored);
      MarginTarget(params, cosine - h, &below, &ignored);
      MarginTarget(params, cosine, &target, &slope);
      EXPECT_NEAR(slope, (above - below) / (2 * h), 1e-6) << cosine;
    }
  }
}

TEST(MarginTargetTest, BothEndsAreFinite) {
  for (const MarginKind kind : {MarginKind::kAdditiveAngle, MarginKind::kCombined}) {
    MarginParams params;
    params.kind = kind;
    for (const double cosine : {-1.0 - 1e-7, -1.0, 1.0, 1.0 + 1e-7}) {
      double target, slope;
      MarginTarget(params, cosine, &target, &slope);
      EXPECT_TRUE(std::isfinite(target) && std::isfinite(slope)) << cosine;
    }
  }
}

}  // namespace
}  // namespace protopage
