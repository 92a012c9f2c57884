// MarginParams: the margin of a softmax over cosines, in plain numbers that kernels take as they
// are. See model/losses/margin_loss.h for the formulas.
#ifndef PROTOPAGE_MODEL_MARGIN_PARAMS_H_
#define PROTOPAGE_MODEL_MARGIN_PARAMS_H_

#include <cstdint>

namespace protopage {

enum class MarginKind : int32_t {
  kAdditiveCosine,  // s (c_y - m): AM-Softmax, CosFace
  kAdditiveAngle,   // s cos(theta_y + m), ArcFace with its linear tail
  kCombined,        // s (cos(m1 theta + m2) - m3)
};
struct MarginParams {
  MarginKind kind = MarginKind::kAdditiveCosine;
  float scale = 24.0f;
  float margin = 0.2f;         // m, or m3 of kCombined
  float m1 = 1.0f, m2 = 0.0f;  // kCombined only
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_MARGIN_PARAMS_H_
