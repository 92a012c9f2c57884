#include "protopage/model/testing/rounding_error.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "protopage/base/check.h"
#include "protopage/base/random.h"

namespace protopage {

double RoundingError(Precision precision, int64_t depth) {
  switch (precision) {
    case Precision::kTf32:
      return std::ldexp(1.0, -10);
    case Precision::kBf16:
      return std::ldexp(1.0, -8);
    case Precision::kFp16:
      return std::ldexp(1.0, -11);
    case Precision::kFloat32:
      break;
  }
  return std::ldexp(std::sqrt(static_cast<double>(depth)), -24);
}

void PerturbRelatively(double relative, uint64_t seed, uint64_t stream,
                       std::vector<float>* values) {
  RandomStream random(seed, RandomPurpose::kTest, stream);
  for (float& value : *values) {
    value = static_cast<float>(value * (1.0 + relative * (2.0 * random.Uniform() - 1.0)));
  }
}

std::vector<double> RoundingBounds(const std::vector<double>& losses,
                                   const std::vector<std::vector<double>>& perturbed,
                                   double scale) {
  double largest = 0.0;
  std::vector<double> bounds;
  for (size_t step = 0; step < losses.size(); ++step) {
    for (const std::vector<double>& run : perturbed) {
      PROTOPAGE_CHECK(run.size() == losses.size());
      largest = std::max(largest, std::abs(run[step] - losses[step]));
    }
    const double of_the_loss = std::ldexp(8.0 * (scale + std::abs(losses[step])), -24);
    bounds.push_back(kRoundingHeadroom * largest + of_the_loss);
  }
  return bounds;
}

}  // namespace protopage
