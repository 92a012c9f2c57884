#include "protopage/trainer/step/loss_scale.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

TEST(LossScaleTest, TheExampleOfTheHeader) {
  TestBackend backend(1);
  for (const bool finite : {true, false}) {
    LossScale scale(backend->precision());
    EXPECT_FALSE(scale.dynamic());
    if (finite) {
      scale.Passed();  // Doubles the scale after kGrowSteps of these in a row.
    } else {
      scale.Overflowed();  // Halves the scale; the step is skipped.
    }
    EXPECT_EQ(scale.scale(), 1.0f);  // Not fp16.
  }
}

TEST(LossScaleTest, HalvesWhenGradientsOverflowAndDoublesAfterManyThatDoNot) {
  LossScale scale(Precision::kFp16);
  EXPECT_TRUE(scale.dynamic());
  EXPECT_EQ(scale.scale(), 65536.0f);
  EXPECT_TRUE(scale.Overflowed());
  EXPECT_EQ(scale.scale(), 32768.0f);
  for (int64_t step = 1; step < LossScale::kGrowSteps; ++step) scale.Passed();
  EXPECT_EQ(scale.scale(), 32768.0f);
  scale.Passed();
  EXPECT_EQ(scale.scale(), 65536.0f);
  // An overflow begins the count anew.
  for (int64_t step = 1; step < LossScale::kGrowSteps; ++step) scale.Passed();
  EXPECT_TRUE(scale.Overflowed());
  scale.Passed();
  EXPECT_EQ(scale.scale(), 32768.0f);
}

TEST(LossScaleTest, EndsAtOneAndAtTheLargest) {
  LossScale scale(Precision::kFp16);
  for (int i = 0; i < LossScale::kFirstExponent; ++i) EXPECT_TRUE(scale.Overflowed());
  EXPECT_EQ(scale.scale(), 1.0f);
  EXPECT_FALSE(scale.Overflowed());
  for (int64_t step = 0; step < 30 * LossScale::kGrowSteps; ++step) scale.Passed();
  EXPECT_EQ(scale.scale(), 16777216.0f);
}

TEST(LossScaleTest, OtherPrecisionsHaveNone) {
  for (const Precision precision : {Precision::kFloat32, Precision::kTf32, Precision::kBf16}) {
    LossScale scale(precision);
    EXPECT_FALSE(scale.dynamic());
    for (int64_t step = 0; step < 3 * LossScale::kGrowSteps; ++step) scale.Passed();
    EXPECT_FALSE(scale.Overflowed());
    EXPECT_EQ(scale.scale(), 1.0f);
  }
}

// Reads what another scale's State showed.
class Copy : public StateVisitor {
 public:
  void Array(absl::string_view, const Tensor&) override { FAIL() << "a scale has no arrays"; }
  void Number(absl::string_view, double*) override { FAIL() << "a scale has integers"; }
  void Integer(absl::string_view name, int64_t* value) override {
    if (loading) {
      *value = values.at(std::string(name));
    } else {
      values[std::string(name)] = *value;
    }
  }

  bool loading = false;
  std::map<std::string, int64_t> values;
};

TEST(LossScaleTest, GoesOnFromACheckpoint) {
  LossScale first(Precision::kFp16), second(Precision::kFp16);
  first.Overflowed();
  for (int64_t step = 10; step < LossScale::kGrowSteps; ++step) first.Passed();
  Copy copy;
  first.State(copy);
  copy.loading = true;
  second.State(copy);
  for (int step = 0; step < 20; ++step) {
    EXPECT_EQ(first.scale(), second.scale());
    first.Passed();
    second.Passed();
  }
  EXPECT_EQ(second.scale(), 65536.0f);
  Copy none;
  LossScale(Precision::kBf16).State(none);
  EXPECT_TRUE(none.values.empty());
}

}  // namespace
}  // namespace protopage
