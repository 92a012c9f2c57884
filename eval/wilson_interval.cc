#include "protopage/eval/wilson_interval.h"

#include <algorithm>
#include <cmath>

#include "protopage/base/check.h"

namespace protopage {

Interval WilsonInterval(int64_t successes, int64_t trials, double z) {
  PROTOPAGE_CHECK(successes >= 0 && successes <= trials);
  if (trials == 0) return {0, 1};
  // (p + z^2/2n  +-  z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)
  const double n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z2_n = z * z / n;
  const double center = p + z2_n / 2;
  const double half = z * std::sqrt(p * (1 - p) / n + z2_n / (4 * n));
  // Rounding must not push the ends of 0 and n successes past 0 and 1.
  return {successes == 0 ? 0 : std::max(0.0, (center - half) / (1 + z2_n)),
          successes == trials ? 1 : std::min(1.0, (center + half) / (1 + z2_n))};
}

}  // namespace protopage
