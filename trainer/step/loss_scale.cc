#include "protopage/trainer/step/loss_scale.h"

#include <cmath>

namespace protopage {

LossScale::LossScale(Precision precision)
    : dynamic_(precision == Precision::kFp16), exponent_(dynamic_ ? kFirstExponent : 0) {}

float LossScale::scale() const { return std::ldexp(1.0f, static_cast<int>(exponent_)); }

bool LossScale::Overflowed() {
  passed_ = 0;
  if (exponent_ == 0) return false;
  --exponent_;
  return true;
}

void LossScale::Passed() {
  if (!dynamic_ || ++passed_ < kGrowSteps) return;
  passed_ = 0;
  if (exponent_ < kLargestExponent) ++exponent_;
}

void LossScale::State(StateVisitor& v) {
  if (!dynamic_) return;
  v.Integer("exponent", &exponent_);
  v.Integer("passed", &passed_);
}

}  // namespace protopage
