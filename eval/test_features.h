// Features for tests, and the plain loops that results are compared with.
#ifndef PROTOPAGE_EVAL_TEST_FEATURES_H_
#define PROTOPAGE_EVAL_TEST_FEATURES_H_

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "protopage/base/types.h"

namespace protopage {

struct TestFeatures {
  RowMatrixXf features;         // [num_classes * per_class, dim]: class by class, of various norms.
  std::vector<ClassId> labels;  // [num_classes * per_class]
};

// A class is a random direction, the same for any seed. Its images are that direction plus `noise`
// times a random vector of about the same length.
TestFeatures MakeTestFeatures(uint64_t seed, int64_t num_classes, int64_t per_class, int64_t dim,
                              float noise);

// Vectors of four ones and dim - 4 zeros, so of norm 2: cosines are exact multiples of 1/4, and
// many are equal.
TestFeatures MakeTiedFeatures(uint64_t seed, int64_t num_classes, int64_t per_class, int64_t dim);

// All cosines between rows of `a` and `b`, by a plain loop in double precision.
Eigen::MatrixXd PlainCosines(const RowMatrixXf& a, const RowMatrixXf& b);

}  // namespace protopage

#endif  // PROTOPAGE_EVAL_TEST_FEATURES_H_
