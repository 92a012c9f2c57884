#include "protopage/model/losses/margin_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/optimizers/row_optimizer.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

struct Problem {
  int64_t batch, num_slots, dim;
  std::vector<double> features, rows;
  std::vector<int32_t> slots;
};

// The losses of the header's table, one image at a time, in double.
std::vector<double> ReferenceLosses(const LossConfig& config, const Problem& p) {
  std::vector<double> losses;
  const auto norm = [&](const double* x) {
    double sum = 0.0;
    for (int64_t d = 0; d < p.dim; ++d) sum += x[d] * x[d];
    return std::sqrt(sum);
  };
  for (int64_t b = 0; b < p.batch; ++b) {
    const double* f = &p.features[b * p.dim];
    std::vector<double> z(p.num_slots);
    for (int64_t k = 0; k < p.num_slots; ++k) {
      const double* w = &p.rows[k * p.dim];
      double dot = 0.0;
      for (int64_t d = 0; d < p.dim; ++d) dot += f[d] * w[d];
      double c = dot / (norm(f) * norm(w));
      if (k == p.slots[b]) {
        const double m = config.margin;
        if (config.name == "am_softmax" || config.name == "cosface") {
          c -= m;
        } else if (config.name == "arcface") {
          c = c > std::cos(M_PI - m) ? std::cos(std::acos(c) + m) : c - m * std::sin(M_PI - m);
        } else {
          c = std::cos(config.m1 * std::acos(c) + config.m2) - m;
        }
      }
      z[k] = config.scale * c;
    }
    const double top = *std::max_element(z.begin(), z.end());
    double sum = 0.0;
    for (const double value : z) sum += std::exp(value - top);
    losses.push_back(top + std::log(sum) - z[p.slots[b]]);
  }
  return losses;
}

double ReferenceMean(const LossConfig& config, const Problem& p) {
  double sum = 0.0;
  for (const double loss : ReferenceLosses(config, p)) sum += loss;
  return sum / static_cast<double>(p.batch);
}

class MarginLossTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Features of different lengths around their own rows; the last feature points away from
  // its row, which is where ArcFace is linear.
  Problem MakeProblem(TestBackend& backend, int64_t batch, int64_t num_slots, int64_t dim) {
    Problem p = {batch, num_slots, dim, {}, {}, {}};
    const std::vector<float> rows = backend.ToHost(backend.Random({num_slots, dim}, 1));
    std::vector<float> features = backend.ToHost(backend.Random({batch, dim}, 2));
    for (int64_t b = 0; b < batch; ++b) {
      p.slots.push_back(static_cast<int32_t>((b * 3 + 1) % num_slots));
      const float pull = b + 1 == batch ? -3.0f : 0.7f;
      const float length = 0.5f + static_cast<float>(b % 5);
      for (int64_t d = 0; d < dim; ++d) {
        float& f = features[b * dim + d];
        f = length * (f + pull * rows[p.slots[b] * dim + d]);
      }
    }
    p.features.assign(features.begin(), features.end());
    p.rows.assign(rows.begin(), rows.end());
    return p;
  }
};

std::vector<float> ToFloat(const std::vector<double>& x) { return {x.begin(), x.end()}; }

// Values and gradients against the double loop and its central differences. A cosine is a sum
// of `dim` products: off by at most dim * epsilon / 2 or so, hence a logit by s times that,
// and a probability by as much, relatively. Gradients are s / B / length times probabilities.
// The angle's derivative sin(theta + m) / sin(theta) stays below 4 here.
TEST_P(MarginLossTest, AgreesWithTheDoubleLoopAndItsDifferences) {
  TestBackend backend;
  LossConfig config;
  config.name = GetParam();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto loss, MarginLoss::Create(config, backend.get()));
  config = loss->config();
  Problem p = MakeProblem(backend, /*batch=*/11, /*num_slots=*/6, /*dim=*/16);
  const Tensor features = backend.FromHost({11, 16}, ToFloat(p.features));
  const Tensor rows = backend.FromHost({6, 16}, ToFloat(p.rows));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const LossResult result,
      loss->Compute({.features = features, .rows = rows, .slots = p.slots, .step = 0}));

  const double logit_error = config.scale * 16 * std::numeric_limits<float>::epsilon();
  const std::vector<double> expected = ReferenceLosses(config, p);
  const std::vector<float> losses = backend.ToHost(result.losses);
  for (size_t b = 0; b < expected.size(); ++b) EXPECT_NEAR(losses[b], expected[b], 4 * logit_error);
  EXPECT_NEAR(result.loss, ReferenceMean(config, p), 4 * logit_error);

  const double h = 1e-6;
  const auto check = [&](std::vector<double>& values, const std::vector<float>& gradient,
                         const char* what) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double x = values[i];
      values[i] = x + h;
      const double above = ReferenceMean(config, p);
      values[i] = x - h;
      const double below = ReferenceMean(config, p);
      values[i] = x;
      // The shortest feature or row is longer than 1/2.
      const double tolerance = 4.0 * (config.scale / 11.0) / 0.5 * 4.0 * logit_error + 1e-7;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * h), tolerance) << what << " " << i;
    }
  };
  check(p.features, backend.ToHost(result.d_features), "feature");
  check(p.rows, backend.ToHost(result.d_rows), "row");
}

TEST_P(MarginLossTest, PredictsWithoutMargin) {
  TestBackend backend;
  LossConfig config;
  config.name = GetParam();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto loss, MarginLoss::Create(config, backend.get()));
  // Cosines of image 0: .8 .6; of image 1: equal, so the lowest slot; of image 2: .6 .8.
  const Tensor features = backend.FromHost({3, 2}, {8, 6, 1, 1, 0.3f, 0.4f});
  const Tensor rows = backend.FromHost({2, 2}, {1, 0, 0, 2});
  const std::vector<int32_t> slots = {0, 1, 1};
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(
      const LossResult result, loss->Compute({.features = features, .rows = rows, .slots = slots}));
  EXPECT_EQ(result.predicted_slots, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_DOUBLE_EQ(result.accuracy, 2.0 / 3.0);
  // Gradients of normalised vectors have no part along them.
  const std::vector<float> d = backend.ToHost(result.d_features);
  EXPECT_NEAR(8 * d[0] + 6 * d[1], 0.0f, 1e-4f);
}

// features [B, 512], on the device; rows [K, 512] with state of an optimizer of rows; slots [B].
absl::Status Example(Backend* backend, Net* net, RowOptimizer* optimizer, const Tensor& features,
                     const Tensor& rows, const Tensor& state, const std::vector<int32_t>& slots,
                     const std::vector<int32_t>& away) {
  LossConfig config;  // am_softmax
  PROTOPAGE_ASSIGN_OR_RETURN(auto loss, MarginLoss::Create(config, backend));
  PROTOPAGE_ASSIGN_OR_RETURN(const LossResult result,
                             loss->Compute({.features = features, .rows = rows, .slots = slots}));
  PROTOPAGE_RETURN_IF_ERROR(net->Backward(result.d_features));
  PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(0.02, rows, state, away, result.d_rows));
  return absl::OkStatus();
}

TEST(MarginLossHeaderTest, TheExampleOfTheHeader) {
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto net, Net::Create({}, {18, 18, 3}, 1, backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create({}, backend.get()));
  Tensor features;
  PROTOPAGE_ASSERT_OK(
      net->Forward(backend.Random({2, 18, 18, 3}, 1), {.training = true}, &features));
  const Tensor rows = backend.Random({3, 512}, 2);
  const std::vector<float> before = backend.ToHost(rows);
  PROTOPAGE_EXPECT_OK(Example(backend.get(), net.get(), optimizer.get(), features, rows,
                              backend.FromHost({3, 512}, std::vector<float>(3 * 512)), {0, 2},
                              {0, 0, 0}));
  EXPECT_NE(backend.ToHost(rows), before);
}

INSTANTIATE_TEST_SUITE_P(Losses, MarginLossTest,
                         ::testing::Values("am_softmax", "cosface", "arcface", "combined"));

TEST_P(MarginLossTest, AScaleOfGradientsByAPowerOfTwoChangesNoBitOfAnythingElse) {
  TestBackend backend;
  LossConfig config;
  config.name = GetParam();
  const Problem p = MakeProblem(backend, 7, 5, 16);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto loss, MarginLoss::Create(config, backend.get()));
  const std::vector<float> features(p.features.begin(), p.features.end());
  const std::vector<float> rows(p.rows.begin(), p.rows.end());
  LossInput input;
  input.features = backend.FromHost({7, 16}, features);
  input.rows = backend.FromHost({5, 16}, rows);
  input.slots = p.slots;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult plain, loss->Compute(input));
  std::vector<float> d_features = backend.ToHost(plain.d_features);
  std::vector<float> d_rows = backend.ToHost(plain.d_rows);
  input.gradient_scale = 1024;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult scaled, loss->Compute(input));
  EXPECT_EQ(scaled.loss, plain.loss);
  EXPECT_EQ(scaled.predicted_slots, plain.predicted_slots);
  for (float& value : d_features) value *= 1024;
  for (float& value : d_rows) value *= 1024;
  EXPECT_EQ(backend.ToHost(scaled.d_features), d_features);
  EXPECT_EQ(backend.ToHost(scaled.d_rows), d_rows);
}

TEST(MarginLossSizesTest, BatchAndSlotsMayChangeFromStepToStep) {
  TestBackend backend;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto reused, MarginLoss::Create({}, backend.get()));
  for (const auto& [batch, slots] : {std::pair(8, 5), std::pair(3, 9), std::pair(8, 5)}) {
    const Tensor features = backend.Random({batch, 12}, batch);
    const Tensor rows = backend.Random({slots, 12}, 100 + slots);
    std::vector<int32_t> own(batch);
    for (int b = 0; b < batch; ++b) own[b] = b % slots;
    const LossInput input = {.features = features, .rows = rows, .slots = own};
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto fresh, MarginLoss::Create({}, backend.get()));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult a, reused->Compute(input));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const LossResult b, fresh->Compute(input));
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(backend.ToHost(a.d_features), backend.ToHost(b.d_features));
    EXPECT_EQ(backend.ToHost(a.d_rows), backend.ToHost(b.d_rows));
  }
}

TEST(LossConfigTest, DefaultsBelongToTheLoss) {
  TestBackend backend(1);
  const auto resolved = [&](const std::string& name) {
    LossConfig config;
    config.name = name;
    PROTOPAGE_EXPECT_OK(ResolveLossConfig(&config));
    return std::pair(config.scale, config.margin);
  };
  EXPECT_EQ(resolved("am_softmax"), std::pair(24.0, 0.2));
  EXPECT_EQ(resolved("cosface"), std::pair(64.0, 0.4));
  EXPECT_EQ(resolved("arcface"), std::pair(64.0, 0.5));
  EXPECT_EQ(resolved("combined"), std::pair(64.0, 0.2));
  LossConfig given;
  given.scale = 30;
  given.margin = 0;  // A plain softmax over cosines.
  PROTOPAGE_ASSERT_OK(ResolveLossConfig(&given));
  EXPECT_EQ(given.scale, 30.0);
  EXPECT_EQ(given.margin, 0.0);
}

TEST(LossConfigTest, TheHelpNamesTheDefaults) {
  LossConfig config;
  const std::string help = ConfigHelp(config);
  EXPECT_THAT(help, ::testing::HasSubstr("am_softmax 24, cosface 64, arcface 64, combined 64"));
  EXPECT_THAT(help, ::testing::HasSubstr("am_softmax 0.2, cosface 0.4, arcface 0.5, combined 0.2"));
}

TEST(LossConfigTest, WrongValuesAreNamed) {
  TestBackend backend(1);
  LossConfig config;
  config.name = "softmax";
  EXPECT_THAT(MarginLoss::Create(config, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "must be one of am_softmax, cosface, arcface, combined"));
  config = LossConfig();
  config.margin = -0.5;
  EXPECT_THAT(MarginLoss::Create(config, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "margin is -0.5"));
  config = LossConfig();
  config.scale = 0;
  EXPECT_THAT(MarginLoss::Create(config, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "scale is 0"));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto json, ParseJson(R"({"scale": 24, "margn": 0.2})", "c"));
  EXPECT_THAT(ReadConfig(json, "loss", config),
              StatusIs(absl::StatusCode::kInvalidArgument, "margin"));
}

TEST(MarginLossInputTest, ShapesAndSlotsAreChecked) {
  TestBackend backend(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto loss, MarginLoss::Create({}, backend.get()));
  const Tensor features = backend.Random({2, 4}, 1);
  const Tensor rows = backend.Random({3, 4}, 2);
  const auto compute = [&](const Tensor& w, const std::vector<int32_t>& slots) {
    return loss->Compute({.features = features, .rows = w, .slots = slots}).status();
  };
  PROTOPAGE_EXPECT_OK(compute(rows, {0, 2}));
  EXPECT_THAT(compute(rows, {0, 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, "slot 3 at position 1"));
  EXPECT_THAT(compute(rows, {-1, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, "slot -1 at position 0"));
  EXPECT_THAT(compute(rows, {0}),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 slots for 2 features"));
  EXPECT_THAT(compute(backend.Random({3, 5}, 1), {0, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, "rows are [3, 5]"));
}

}  // namespace
}  // namespace protopage
