// DenseRows: the result that a RowOptimizer must agree with, from a dense table in double whose
// every row takes part in every step: an active row gets the update, the others v <- mu v.
//
//   DenseRows dense(config, /*learning_rate=*/1.0, /*dim=*/2, rows);  // [N, D], made unit vectors.
//   dense.Step(/*active=*/{0, 1}, gradients);                         // [2, D]
//   EXPECT_NEAR(dense.row(0)[0], std::sqrt(0.5), 1e-12);
#ifndef PROTOPAGE_MODEL_TESTING_DENSE_ROWS_H_
#define PROTOPAGE_MODEL_TESTING_DENSE_ROWS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "protopage/model/optimizers/row_optimizer.h"

namespace protopage {

class DenseRows {
 public:
  DenseRows(const RowOptimizerConfig& config, double learning_rate, int64_t dim,
            const std::vector<float>& rows)
      : config_(config),
        learning_rate_(learning_rate),
        dim_(dim),
        w_(rows.begin(), rows.end()),
        velocity_(rows.size()),
        squares_(rows.size() / dim) {
    for (int64_t k = 0; k < num_classes(); ++k) Normalise(&w_[k * dim]);
  }

  int64_t num_classes() const { return static_cast<int64_t>(squares_.size()); }
  const double* row(int64_t k) const { return &w_[k * dim_]; }
  // Of class k as it is after the last step: [D] for momentum, [1] for adagrad.
  const double* state(int64_t k) const {
    return config_.name == "momentum" ? &velocity_[k * dim_] : &squares_[k];
  }

  // `gradients` [active.size(), D].
  void Step(const std::vector<int64_t>& active, const std::vector<float>& gradients) {
    for (int64_t k = 0; k < num_classes(); ++k) {
      const auto found = std::find(active.begin(), active.end(), k);
      double* row = &w_[k * dim_];
      double* velocity = &velocity_[k * dim_];
      if (found == active.end()) {
        for (int64_t d = 0; d < dim_; ++d) velocity[d] *= config_.momentum;
        continue;
      }
      const float* raw = &gradients[(found - active.begin()) * dim_];
      std::vector<double> g(raw, raw + dim_);
      Project(g.data(), row);
      if (config_.name == "momentum") {
        Project(velocity, row);
        for (int64_t d = 0; d < dim_; ++d) {
          velocity[d] = config_.momentum * velocity[d] + g[d];
          row[d] -= learning_rate_ * velocity[d];
        }
        Normalise(row);
        Project(velocity, row);
      } else {
        squares_[k] += Dot(g.data(), g.data()) / static_cast<double>(dim_);
        const double rate = learning_rate_ / (std::sqrt(squares_[k]) + config_.epsilon);
        for (int64_t d = 0; d < dim_; ++d) row[d] -= rate * g[d];
        Normalise(row);
      }
    }
  }

 private:
  double Dot(const double* a, const double* b) const {
    double sum = 0;
    for (int64_t d = 0; d < dim_; ++d) sum += a[d] * b[d];
    return sum;
  }
  // a -= (a . w) w
  void Project(double* a, const double* w) const {
    const double along = Dot(a, w);
    for (int64_t d = 0; d < dim_; ++d) a[d] -= along * w[d];
  }
  void Normalise(double* w) const {
    const double norm = std::sqrt(Dot(w, w));
    for (int64_t d = 0; d < dim_; ++d) w[d] /= norm;
  }

  const RowOptimizerConfig config_;
  const double learning_rate_;
  const int64_t dim_;
  std::vector<double> w_, velocity_, squares_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_DENSE_ROWS_H_
