#include "protopage/base/fixed_math.h"

#include <cmath>
#include <initializer_list>

namespace protopage {
namespace {

// ln 2 as a sum of two doubles. The first has 21 zero bits at its end, so that its product with an
// exponent is exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kTwoPi = 0x1.921fb54442d18p+2;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

}  // namespace

double FixedLog(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // In [1/2, 1).
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // ln m = 2 artanh s = 2 s (1 + s^2 / 3 + s^4 / 5 + ...), |s| < .172; the first term left out is
  // below 1e-18 of the sum.
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double tail = 1.0 / 23;
  for (int k = 21; k >= 3; k -= 2) tail = std::fma(tail, square, 1.0 / k);
  const double twice = 2 * s;
  const double series = std::fma(twice * square, tail, twice);
  if (exponent == 0) return series;
  const double e = exponent;
  return std::fma(e, kLn2High, std::fma(e, kLn2Low, series));
}

double FixedCosTurns(double v) {
  // v = q / 4 + r with |r| <= 1/8; both steps are exact.
  const double q = std::nearbyint(4 * v);
  const double x = kTwoPi * std::fma(q, -0.25, v);
  const double square = x * x;
  const auto quadrant = static_cast<long long>(q) & 3;
  if (quadrant % 2 == 0) {
    // cos x = 1 - x^2 / 2! + ... + x^16 / 16!.
    double sum = 1.0 / 20922789888000.0;
    for (const double factor : {-1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0,
                                1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0}) {
      sum = std::fma(sum, square, factor);
    }
    return quadrant == 0 ? sum : -sum;
  }
  // sin x = x (1 - x^2 / 3! + ... + x^16 / 17!).
  double sum = 1.0 / 355687428096000.0;
  for (const double factor : {-1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0,
                              1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0}) {
    sum = std::fma(sum, square, factor);
  }
  // cos(x + pi / 2) = -sin x.
  return quadrant == 1 ? -(x * sum) : x * sum;
}

}  // namespace protopage
