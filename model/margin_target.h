// MarginTarget: the target's logit of a margin softmax, for the kernels of the CPU and of GPUs.
//
//   double target, slope;
//   MarginTarget(params, /*cosine=*/0.5, &target, &slope);  // AM-Softmax: .5 - margin, 1.
//
// Source for a GPU defines PROTOPAGE_HOST_DEVICE as __host__ __device__ before it includes this.
#ifndef PROTOPAGE_MODEL_MARGIN_TARGET_H_
#define PROTOPAGE_MODEL_MARGIN_TARGET_H_

#include <cmath>

#include "protopage/model/margin_params.h"

#ifndef PROTOPAGE_HOST_DEVICE
#define PROTOPAGE_HOST_DEVICE
#endif

namespace protopage {

// *target: the logit of the target over params.scale; *slope: its derivative by the cosine.
PROTOPAGE_HOST_DEVICE inline void MarginTarget(const MarginParams& params, double cosine,
                                               double* target, double* slope) {
  const double margin = static_cast<double>(params.margin);
  *target = cosine - margin;
  *slope = 1.0;
  if (params.kind == MarginKind::kAdditiveCosine) return;
  const double c = cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
  const double theta = acos(c);
  // sin(theta) is 0 at both ends, where the true slope is infinite or undefined.
  const double square = 1.0 - c * c;
  const double sine = sqrt(square < 1e-12 ? 1e-12 : square);
  if (params.kind == MarginKind::kAdditiveAngle) {
    const double pi = 3.14159265358979323846;
    if (c > cos(pi - margin)) {
      *target = cos(theta + margin);
      *slope = sin(theta + margin) / sine;
    } else {
      *target = cosine - margin * sin(pi - margin);
    }
    return;
  }
  const double angle = static_cast<double>(params.m1) * theta + static_cast<double>(params.m2);
  *target = cos(angle) - margin;
  *slope = static_cast<double>(params.m1) * sin(angle) / sine;
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_MARGIN_TARGET_H_
