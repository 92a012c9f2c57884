// The batch norm and the normalisation of rows of every backend.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {
namespace {

using reference::Array;

struct NormCase {
  int64_t rows, c;
  float offset;  // Far from zero relative to the spread, as for raw pixels.
};
const std::vector<NormCase> kNormCases = {{1300, 32, 0.0f}, {700, 3, 8.0f}, {300, 36, 0.0f},
                                          {50, 17, -3.0f},  {2, 64, 0.0f},  {1, 5, 1.0f}};

TEST_P(BackendConformanceTest, BatchNormForward) {
  const float epsilon = 1e-3f, momentum = 0.99f;
  for (const NormCase& s : kNormCases) {
    const std::string what = absl::StrCat("batch norm [", s.rows, ", ", s.c, "] ");
    const Shape shape = {s.rows, s.c}, columns = {s.c};
    const std::vector<float> x = Random(s.rows * s.c, 18, s.offset - 1, s.offset + 1);
    const std::vector<float> gamma = Random(s.c, 19, 0.5f, 2.0f);
    const std::vector<float> beta = Random(s.c, 20);
    const std::vector<float> mean0 = Random(s.c, 21);
    const std::vector<float> var0 = Random(s.c, 22, 0.5f, 2.0f);
    const auto expected = reference::BatchNormTrain(ToDouble(x), s.rows, s.c, ToDouble(gamma),
                                                    ToDouble(beta), epsilon);
    // A mean over n rows is off by n epsilon max |x|; the variance, as a sum of squares of
    // differences from it, by n epsilon of itself and the square of that.
    const double largest = std::abs(s.offset) + 1.0;
    const double roundings = static_cast<double>(s.rows) + 8;
    Array mean(s.c), var(s.c), running_size(s.c), sizes(s.c, largest);
    for (int64_t j = 0; j < s.c; ++j) {
      mean[j] = momentum * static_cast<double>(mean0[j]) + (1.0 - momentum) * expected.mean[j];
      var[j] = momentum * static_cast<double>(var0[j]) + (1.0 - momentum) * expected.variance[j];
      running_size[j] = 4.0 + largest * 0.02 * roundings;
    }
    Array y_size(s.rows * s.c);
    for (int64_t i = 0; i < s.rows * s.c; ++i) {
      const int64_t j = i % s.c;
      y_size[i] = gamma[j] * expected.inv_std[j] * largest * roundings +
                  (std::abs(expected.y[i]) + std::abs(beta[j])) * roundings;
    }
    const Tensor tx = UploadMap(shape, x);
    const Tensor tgamma = Upload(columns, gamma), tbeta = Upload(columns, beta);
    for (const bool relu : {false, true}) {
      Array y = expected.y;
      for (double& value : y) value = relu ? std::max(0.0, value) : value;
      const Tensor running_mean = Upload(columns, mean0), running_var = Upload(columns, var0);
      const Tensor saved_mean = Empty(columns), saved_inv_std = Empty(columns),
                   ty = EmptyMap(shape);
      PROTOPAGE_ASSERT_OK(backend_->BatchNormTrain(tx, tgamma, tbeta, epsilon, momentum, relu,
                                                   running_mean, running_var, saved_mean,
                                                   saved_inv_std, ty));
      ExpectNear(ty, y, y_size, 2, what + "y");
      ExpectNear(saved_mean, expected.mean, sizes, roundings, what + "mean");
      ExpectNear(saved_inv_std, expected.inv_std, roundings, what + "inv_std");
      ExpectNear(running_mean, mean, running_size, 1, what + "running mean");
      ExpectNear(running_var, var, running_size, 1, what + "running var");

      Array inferred(s.rows * s.c), inferred_size(s.rows * s.c);
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        const int64_t j = i % s.c;
        const double scale = gamma[j] / std::sqrt(static_cast<double>(var0[j]) + epsilon);
        const double value = (static_cast<double>(x[i]) - mean0[j]) * scale + beta[j];
        inferred[i] = relu ? std::max(0.0, value) : value;
        inferred_size[i] = (std::abs(x[i]) + std::abs(mean0[j])) * scale + std::abs(beta[j]);
      }
      PROTOPAGE_ASSERT_OK(backend_->BatchNormInfer(
          tx, tgamma, tbeta, epsilon, relu, Upload(columns, mean0), Upload(columns, var0), ty));
      ExpectNear(ty, inferred, inferred_size, 8, what + "inferred");
    }
  }
}

TEST_P(BackendConformanceTest, BatchNormBackward) {
  for (const NormCase& s : kNormCases) {
    const Shape shape = {s.rows, s.c}, columns = {s.c};
    const std::vector<float> x = Random(s.rows * s.c, 23, s.offset - 1, s.offset + 1);
    const std::vector<float> gamma = Random(s.c, 24, 0.5f, 2.0f);
    const std::vector<float> d_y = Random(s.rows * s.c, 25);
    const std::vector<float> mean = Random(s.c, 26, s.offset - 0.1f, s.offset + 0.1f);
    const std::vector<float> inv_std = Random(s.c, 27, 1.0f, 2.0f);
    std::vector<float> y = Random(s.rows * s.c, 28);
    for (float& value : y) value = std::max(0.0f, value);
    for (const bool relu : {false, true}) {
      const std::string what =
          absl::StrCat("BatchNormBackward [", s.rows, ", ", s.c, "]", relu ? " relu " : " ");
      std::vector<float> masked = d_y;
      for (size_t i = 0; i < masked.size(); ++i) {
        if (relu && !(y[i] > 0.0f)) masked[i] = 0.0f;
      }
      const auto expected =
          reference::BatchNormBackward(ToDouble(x), s.rows, s.c, ToDouble(gamma), ToDouble(mean),
                                       ToDouble(inv_std), ToDouble(masked));
      // Sums of magnitudes, where x - mean carries the rounding of its operands.
      Array d_gamma_size(s.c), d_beta_size(s.c), d_x_size(s.rows * s.c);
      const double spread = 2.0 * (std::abs(s.offset) + 1.1);
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        d_beta_size[i % s.c] += std::abs(masked[i]);
        d_gamma_size[i % s.c] += std::abs(masked[i]) * spread * inv_std[i % s.c];
      }
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        const int64_t j = i % s.c;
        const double n = static_cast<double>(s.rows);
        d_x_size[i] =
            gamma[j] * inv_std[j] *
            (std::abs(masked[i]) + d_beta_size[j] / n + spread * inv_std[j] * d_gamma_size[j] / n);
      }
      const Tensor tx = UploadMap(shape, x), td = UploadMap(shape, d_y), d_x = EmptyMap(shape);
      const Tensor d_gamma = Empty(columns), d_beta = Empty(columns);
      PROTOPAGE_ASSERT_OK(backend_->BatchNormBackward(
          tx, Upload(columns, gamma), Upload(columns, mean), Upload(columns, inv_std),
          relu ? UploadMap(shape, y) : Tensor(), relu, td, d_x, d_gamma, d_beta));
      const double roundings = static_cast<double>(s.rows) + 8;
      ExpectNear(d_gamma, expected.d_gamma, d_gamma_size, roundings, what + "d_gamma");
      ExpectNear(d_beta, expected.d_beta, d_beta_size, roundings, what + "d_beta");
      ExpectNear(d_x, expected.d_x, d_x_size, roundings, what + "d_x");
    }
  }
}

TEST_P(BackendConformanceTest, L2NormalizeRows) {
  for (const auto& [rows, d] :
       std::vector<std::pair<int64_t, int64_t>>{{5, 512}, {3, 7}, {1, 1}, {200, 33}}) {
    std::vector<float> x = Random(rows * d, 29, -3.0f, 3.0f);
    if (rows > 1) std::fill_n(x.begin(), d, 0.0f);       // A row of zeros,
    if (rows > 2) std::fill_n(x.begin() + d, d, 1e-7f);  // one below the least norm.
    const std::vector<float> d_y = Random(rows * d, 30);
    const auto expected = reference::L2NormalizeRows(ToDouble(x), rows, d);
    const Tensor y = Empty({rows, d}), norms = Empty({rows}), d_x = Empty({rows, d});
    PROTOPAGE_ASSERT_OK(backend_->L2NormalizeRows(Upload({rows, d}, x), y, norms));
    const double roundings = static_cast<double>(d) + 4;
    ExpectNear(y, expected.y, roundings, "L2NormalizeRows y");
    ExpectNear(norms, expected.norms, roundings, "L2NormalizeRows norms");

    const std::vector<float> y_host = Download(y), norms_host = Download(norms);
    const Array expected_d_x = reference::L2NormalizeRowsBackward(
        ToDouble(y_host), ToDouble(norms_host), ToDouble(d_y), rows, d);
    Array size(rows * d);
    for (int64_t i = 0; i < rows; ++i) {
      double along = 0.0;
      for (int64_t j = 0; j < d; ++j) along += std::abs(d_y[i * d + j] * y_host[i * d + j]);
      for (int64_t j = 0; j < d; ++j) {
        size[i * d + j] =
            (std::abs(d_y[i * d + j]) + along * std::abs(y_host[i * d + j])) / norms_host[i];
      }
    }
    PROTOPAGE_ASSERT_OK(backend_->L2NormalizeRowsBackward(y, norms, Upload({rows, d}, d_y), d_x));
    ExpectNear(d_x, expected_d_x, size, roundings, "L2NormalizeRowsBackward");
  }
}

}  // namespace
}  // namespace protopage
