// LossScale: dynamic loss scaling, for gradients whose products are taken in fp16 (Micikevicius et
// al., "Mixed Precision Training", ICLR 2018).
//
//   LossScale scale(backend->precision());
//   ... gradients of scale.scale() times the loss ...
//   if (!finite) scale.Overflowed();   // The step is skipped; the next one is scaled by half as much.
//   else scale.Passed();               // After kGrowSteps of them in a row, by twice as much.
//
// The scale is a power of two, so that scaling rounds nothing. For other precisions it is 1 and
// stays.
#ifndef PROTOPAGE_TRAINER_STEP_LOSS_SCALE_H_
#define PROTOPAGE_TRAINER_STEP_LOSS_SCALE_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/state.h"

namespace protopage {

class LossScale {
 public:
  static constexpr int64_t kFirstExponent = 16;
  static constexpr int64_t kLargestExponent = 24;
  static constexpr int64_t kGrowSteps = 2000;

  explicit LossScale(Precision precision);

  // False: the scale is 1 for good, and State has nothing.
  bool dynamic() const { return dynamic_; }
  float scale() const;

  // Returns false when the scale is 1 already, so that it was not to blame.
  bool Overflowed();
  void Passed();

  void State(StateVisitor& v);

 private:
  bool dynamic_;
  int64_t exponent_ = 0;
  int64_t passed_ = 0;  // Since the scale last changed.
};

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_STEP_LOSS_SCALE_H_
