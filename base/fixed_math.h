// log and cos with the same bits on every machine. Those of the C library differ in the last place
// from one version to another, which would change random numbers that a file only has the seed of.
//
//   const double radius = std::sqrt(-2 * FixedLog(u));
//   const double x = radius * FixedCosTurns(v);  // v in turns: cos(2 pi v).
//
// Only operations that IEEE 754 rounds correctly are used: sums, products, quotients and fma. Each
// product that is added to something is a written fma, so that no compiler can fuse it or not.
#ifndef PROTOPAGE_BASE_FIXED_MATH_H_
#define PROTOPAGE_BASE_FIXED_MATH_H_

namespace protopage {

// The natural logarithm of a normal x > 0. Relative error below 3e-16.
double FixedLog(double x);

// cos(2 pi v) of a finite v with |v| < 2^50. Absolute error below 2e-16.
double FixedCosTurns(double v);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FIXED_MATH_H_
