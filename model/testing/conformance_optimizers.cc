// The optimizers of every backend, of parameters and of unit rows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {
namespace {

using reference::Array;

TEST_P(BackendConformanceTest, ClipNormScalesAllTensorsTogether) {
  const std::vector<int64_t> sizes = {3, 33000, 17};
  const Tensor norm = Empty({1});
  std::vector<std::vector<float>> values;
  double squares = 0.0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    values.push_back(RandomFloats(sizes[i], 170 + i));
    for (const float x : values.back()) squares += static_cast<double>(x) * x;
  }
  const double length = std::sqrt(squares);
  const auto upload = [&] {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < sizes.size(); ++i) tensors.push_back(Upload({sizes[i]}, values[i]));
    return tensors;
  };
  for (const double factor : {0.25, 1.5}) {
    const std::vector<Tensor> tensors = upload();
    PROTOPAGE_ASSERT_OK(backend_->ClipNorm(tensors, static_cast<float>(factor * length), norm));
    EXPECT_NEAR(Download(norm)[0], length, 1e-7 * length);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (factor > 1) {
        EXPECT_EQ(Download(tensors[i]), values[i]);
        continue;
      }
      Array expected = ToDouble(values[i]);
      for (double& x : expected) x *= factor;
      ExpectNear(tensors[i], expected, 4, "ClipNorm");
    }
  }
  // What is not finite is for FindNonFinite to find.
  values[1][32999] = INFINITY;
  const std::vector<Tensor> tensors = upload();
  PROTOPAGE_ASSERT_OK(backend_->ClipNorm(tensors, 1.0f, norm));
  EXPECT_FALSE(std::isfinite(Download(norm)[0]));
  EXPECT_EQ(Download(tensors[1]), values[1]);
  PROTOPAGE_ASSERT_OK(backend_->ClipNorm({}, 1.0f, norm));
  EXPECT_EQ(Download(norm)[0], 0.0f);
}

TEST_P(BackendConformanceTest, AdamUpdatesAllParameters) {
  const std::vector<int64_t> sizes = {1, 5, 40000, 64};
  for (const int64_t t : {1, 2, 1000}) {
    for (const float weight_decay : {0.0f, 0.1f}) {
      AdamParams params;
      params.learning_rate = 0.01f;
      params.weight_decay = weight_decay;
      const double correction1 = 1.0 - std::pow(static_cast<double>(params.beta1), t);
      const double correction2 = 1.0 - std::pow(static_cast<double>(params.beta2), t);
      params.step_size = static_cast<float>(params.learning_rate / correction1);
      params.inverse_sqrt_bias2 = static_cast<float>(1.0 / std::sqrt(correction2));
      std::vector<ParamUpdate> updates;
      std::vector<Array> values, first, second;
      for (size_t p = 0; p < sizes.size(); ++p) {
        const int64_t n = sizes[p];
        const std::vector<float> w = RandomFloats(n, 100 + p), g = RandomFloats(n, 110 + p);
        const std::vector<float> m = RandomFloats(n, 120 + p);
        const std::vector<float> v = RandomFloats(n, 130 + p, 0.0f, 1.0f);
        ParamUpdate update = {Upload({n}, w), Upload({n}, g), Upload({n}, m), Upload({n}, v),
                              /*decay=*/p != 1};
        updates.push_back(update);
        values.push_back(ToDouble(w));
        first.push_back(ToDouble(m));
        second.push_back(ToDouble(v));
        const double b1 = params.beta1, b2 = params.beta2, lr = params.learning_rate;
        for (int64_t i = 0; i < n; ++i) {
          first[p][i] = b1 * first[p][i] + (1.0 - b1) * g[i];
          second[p][i] = b2 * second[p][i] + (1.0 - b2) * static_cast<double>(g[i]) * g[i];
          const double m_hat = first[p][i] / correction1;
          const double v_hat = second[p][i] / correction2;
          if (update.decay) values[p][i] -= lr * weight_decay * values[p][i];
          values[p][i] -= lr * m_hat / (std::sqrt(v_hat) + params.epsilon);
        }
      }
      PROTOPAGE_ASSERT_OK(backend_->AdamUpdate(params, updates));
      for (size_t p = 0; p < sizes.size(); ++p) {
        // 1 - beta in float is off by epsilon, which counts 1 / (1 - beta2) = 1000 times in a
        // state that starts at 0, and not where it starts at the size of the gradient.
        Array size(sizes[p], 1.0), update_size(sizes[p]);
        for (int64_t i = 0; i < sizes[p]; ++i) {
          const double step = params.learning_rate * std::abs(first[p][i]) / correction1 /
                              std::sqrt(second[p][i] / correction2);
          update_size[i] = 1.0 + 4.0 * std::abs(step) + 1e-2 / std::sqrt(second[p][i] + 1e-12);
        }
        ExpectNear(updates[p].state1, first[p], size, 4, "Adam m");
        ExpectNear(updates[p].state2, second[p], size, 4, "Adam v");
        ExpectNear(updates[p].value, values[p], update_size, 8, "Adam value");
      }
    }
  }
}

TEST_P(BackendConformanceTest, SgdUpdatesAllParameters) {
  const std::vector<int64_t> sizes = {3, 33000, 17};
  for (const float momentum : {0.0f, 0.9f}) {
    for (const bool nesterov : {false, true}) {
      SgdParams params;
      params.momentum = momentum;
      params.nesterov = nesterov;
      params.weight_decay = 0.05f;
      std::vector<ParamUpdate> updates;
      std::vector<Array> values, velocities;
      for (size_t p = 0; p < sizes.size(); ++p) {
        const int64_t n = sizes[p];
        const std::vector<float> w = RandomFloats(n, 140 + p), g = RandomFloats(n, 150 + p);
        const std::vector<float> v = RandomFloats(n, 160 + p);
        ParamUpdate update;
        update.value = Upload({n}, w);
        update.gradient = Upload({n}, g);
        if (momentum != 0.0f) update.state1 = Upload({n}, v);
        update.decay = p != 0;
        updates.push_back(update);
        values.push_back(ToDouble(w));
        velocities.push_back(ToDouble(v));
        for (int64_t i = 0; i < n; ++i) {
          const double decay = update.decay ? params.weight_decay : 0.0;
          const double gradient = g[i] + decay * w[i];
          double& velocity = velocities[p][i];
          velocity = momentum == 0.0f ? gradient : momentum * velocity + gradient;
          const double direction =
              nesterov && momentum != 0.0f ? gradient + momentum * velocity : velocity;
          values[p][i] -= params.learning_rate * direction;
        }
      }
      PROTOPAGE_ASSERT_OK(backend_->SgdUpdate(params, updates));
      for (size_t p = 0; p < sizes.size(); ++p) {
        const Array size(sizes[p], 2.0);
        ExpectNear(updates[p].value, values[p], size, 8, "Sgd value");
        if (momentum == 0.0f) continue;
        ExpectNear(updates[p].state1, velocities[p], size, 8, "Sgd velocity");
      }
    }
  }
}

TEST_P(BackendConformanceTest, RowMomentumFollowsTheReturnRule) {
  for (const auto& [k, d] : std::vector<std::pair<int64_t, int64_t>>{{1, 4}, {30, 512}, {70, 33}}) {
    RowMomentumParams params;
    params.learning_rate = 0.1f;
    const std::vector<float> w = UnitRows(k, d, 39);
    const std::vector<float> v = RandomFloats(k * d, 40, -0.1f, 0.1f);
    const std::vector<float> g = RandomFloats(k * d, 41, -0.1f, 0.1f);
    std::vector<int32_t> away(k);
    for (int64_t i = 0; i < k; ++i) away[i] = static_cast<int32_t>(i % 7 == 6 ? 100000 : i % 7);
    const Tensor tw = Upload({k, d}, w), tv = Upload({k, d}, v), tg = Upload({k, d}, g);
    PROTOPAGE_ASSERT_OK(backend_->RowMomentumUpdate(params, tw, tv, UploadInts({k}, away), tg));
    Array expected_w, expected_v;
    for (int64_t i = 0; i < k; ++i) {
      Array row(w.begin() + i * d, w.begin() + (i + 1) * d);
      Array velocity(v.begin() + i * d, v.begin() + (i + 1) * d);
      reference::RowMomentumUpdate(params, away[i], row, velocity,
                                   Array(g.begin() + i * d, g.begin() + (i + 1) * d));
      expected_w.insert(expected_w.end(), row.begin(), row.end());
      expected_v.insert(expected_v.end(), velocity.begin(), velocity.end());
    }
    // Sums are in double; an element is rounded a few times on its way, and through the
    // projections by its share, at most its row's norm, of the rounding of the others.
    const double norm = 0.2 * std::sqrt(static_cast<double>(d));
    ExpectNear(tw, expected_w, Array(k * d, 1.0 + norm), 16, "RowMomentum rows");
    ExpectNear(tv, expected_v, Array(k * d, 0.2 + norm), 16, "RowMomentum velocity");
  }
}

TEST_P(BackendConformanceTest, RowAdagrad) {
  for (const auto& [k, d] : std::vector<std::pair<int64_t, int64_t>>{{1, 4}, {30, 512}, {70, 33}}) {
    RowAdagradParams params;
    params.learning_rate = 0.1f;
    const std::vector<float> w = UnitRows(k, d, 42), h = RandomFloats(k, 43, 0.1f, 1.0f);
    const std::vector<float> g = RandomFloats(k * d, 44, -0.1f, 0.1f);
    const Tensor tw = Upload({k, d}, w), th = Upload({k}, h), tg = Upload({k, d}, g);
    PROTOPAGE_ASSERT_OK(backend_->RowAdagradUpdate(params, tw, th, tg));
    Array expected_w, expected_h = ToDouble(h);
    for (int64_t i = 0; i < k; ++i) {
      Array row(w.begin() + i * d, w.begin() + (i + 1) * d);
      reference::RowAdagradUpdate(params, row, expected_h[i],
                                  Array(g.begin() + i * d, g.begin() + (i + 1) * d));
      expected_w.insert(expected_w.end(), row.begin(), row.end());
    }
    const double norm = 0.2 * std::sqrt(static_cast<double>(d));
    ExpectNear(tw, expected_w, Array(k * d, 1.0 + norm), 16, "RowAdagrad rows");
    ExpectNear(th, expected_h, 16, "RowAdagrad accumulator");
  }
}

TEST_P(BackendConformanceTest, RowsThatNothingMovesKeepTheirBits) {
  const int64_t k = 3, d = 77;
  std::vector<float> w = UnitRows(k, d, 45);
  for (int64_t j = 0; j < d; ++j) w[d + j] *= 1.0000005f;  // Renormalising would change it.
  std::vector<float> g = RandomFloats(k * d, 46);
  std::fill(g.begin() + d, g.begin() + 2 * d, 0.0f);
  const std::vector<float> kept(w.begin() + d, w.begin() + 2 * d);
  const auto middle = [d = d](const std::vector<float>& x) {
    return std::vector<float>(x.begin() + d, x.begin() + 2 * d);
  };

  const Tensor momentum_w = Upload({k, d}, w), velocity = Upload({k, d}, std::vector<float>(k * d));
  PROTOPAGE_ASSERT_OK(backend_->RowMomentumUpdate({}, momentum_w, velocity,
                                                  UploadInts({k}, {0, 5, 0}), Upload({k, d}, g)));
  EXPECT_EQ(middle(Download(momentum_w)), kept);
  EXPECT_EQ(middle(Download(velocity)), std::vector<float>(d, 0.0f));
  EXPECT_NE(Download(momentum_w), w);

  const Tensor adagrad_w = Upload({k, d}, w), accumulator = Upload({k}, {0.5f, 0.25f, 0.5f});
  PROTOPAGE_ASSERT_OK(backend_->RowAdagradUpdate({}, adagrad_w, accumulator, Upload({k, d}, g)));
  EXPECT_EQ(middle(Download(adagrad_w)), kept);
  EXPECT_EQ(Download(accumulator)[1], 0.25f);
  EXPECT_NE(Download(adagrad_w), w);
}

}  // namespace
}  // namespace protopage
