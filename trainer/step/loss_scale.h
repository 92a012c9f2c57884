// LossScale: dynamic loss scaling, for gradients whose products are taken in fp16 (Micikevicius et
// al., "Mixed Precision Training", ICLR 2018).
//
//   LossScale scale(backend->precision());
//   ... the gradients of the loss times the scale ...
//   if (finite) {
//     scale.Passed();  // Doubles the scale after kGrowSteps of these in a row.
//   } else {
//     scale.Overflowed();  // Halves the scale; the step is skipped.
//   }
//
// The scale is a power of two, so that scaling rounds nothing. For precisions other than fp16 it is
// 1 and stays 1.
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

  // False: the scale is always 1, and State visits nothing.
  bool dynamic() const { return dynamic_; }
  float scale() const;

  // Returns false when the scale is 1 already, and so did not cause the overflow.
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
