#include "protopage/eval/test_features.h"

#include <cmath>

#include "protopage/base/random.h"

namespace protopage {
namespace {

TestFeatures Empty(int64_t num_classes, int64_t per_class, int64_t dim) {
  TestFeatures result;
  result.features.setZero(num_classes * per_class, dim);
  for (int64_t i = 0; i < num_classes * per_class; ++i) result.labels.push_back(i / per_class);
  return result;
}

}  // namespace

TestFeatures MakeTestFeatures(uint64_t seed, int64_t num_classes, int64_t per_class, int64_t dim,
                              float noise) {
  TestFeatures result = Empty(num_classes, per_class, dim);
  for (int64_t i = 0; i < result.features.rows(); ++i) {
    RandomStream of_class(0, RandomPurpose::kTest, result.labels[i]);
    RandomStream of_image(seed, RandomPurpose::kTest, i, 1);
    const float scale = of_image.Uniform(0.5f, 20.0f);
    for (int64_t d = 0; d < dim; ++d) {
      result.features(i, d) = scale * (of_class.Normal() + noise * of_image.Normal());
    }
  }
  return result;
}

TestFeatures MakeTiedFeatures(uint64_t seed, int64_t num_classes, int64_t per_class, int64_t dim) {
  TestFeatures result = Empty(num_classes, per_class, dim);
  for (int64_t i = 0; i < result.features.rows(); ++i) {
    RandomStream random(seed, RandomPurpose::kTest, i, 2);
    for (const int64_t d : SampleWithoutReplacement(random, dim, 4)) result.features(i, d) = 1;
  }
  return result;
}

Eigen::MatrixXd PlainCosines(const RowMatrixXf& a, const RowMatrixXf& b) {
  Eigen::MatrixXd cosines(a.rows(), b.rows());
  for (int64_t i = 0; i < a.rows(); ++i) {
    for (int64_t j = 0; j < b.rows(); ++j) {
      double dot = 0, aa = 0, bb = 0;
      for (int64_t d = 0; d < a.cols(); ++d) {
        dot += double{a(i, d)} * b(j, d);
        aa += double{a(i, d)} * a(i, d);
        bb += double{b(j, d)} * b(j, d);
      }
      cosines(i, j) = aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
    }
  }
  return cosines;
}

}  // namespace protopage
