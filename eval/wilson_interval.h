// The Wilson score interval of a proportion (E. B. Wilson, "Probable inference, the law of
// succession, and statistical inference", JASA 1927). It stays inside [0, 1], also where no trial
// or every trial is a success.
#ifndef PROTOPAGE_EVAL_WILSON_INTERVAL_H_
#define PROTOPAGE_EVAL_WILSON_INTERVAL_H_

#include <cstdint>

namespace protopage {

struct Interval {
  double low = 0;
  double high = 1;
};

// 0 <= successes <= trials. `z` is the quantile of the normal distribution, 1.96 for 95 %. Without
// trials the interval is [0, 1].
Interval WilsonInterval(int64_t successes, int64_t trials, double z = 1.959964);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_WILSON_INTERVAL_H_
