#include "protopage/model/optimizers/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/op.h"
#include "protopage/model/optimizers/schedule.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

constexpr int kSteps = 6;

// Two parameters, a kernel that decays and a bias that does not.
struct Model {
  explicit Model(TestBackend& backend)
      : kernel{"a/kernel", backend.Random({3, 7}, 1), backend.Random({3, 7}, 2), true, true},
        bias{"a/bias", backend.Random({7}, 3), backend.Random({7}, 4), true, false},
        statistic{"a/moving_mean", backend.Random({7}, 5), Tensor(), false, false} {}
  std::vector<Parameter*> parameters() { return {&kernel, &bias, &statistic}; }

  Parameter kernel, bias, statistic;
};

// The gradient of step t.
std::vector<float> GradientAt(TestBackend& backend, const Parameter& parameter, int t) {
  return backend.ToHost(
      backend.Random(parameter.value.shape(), 1000 * parameter.name.size() + t, 0.5f));
}

// The header's formulas in double; runs kSteps steps on a parameter's values.
std::vector<double> Reference(TestBackend& backend, const OptimizerConfig& c,
                              const Parameter& parameter, double learning_rate) {
  const std::vector<float> start = backend.ToHost(parameter.value);
  std::vector<double> w(start.begin(), start.end());
  std::vector<double> m(w.size()), v(w.size());
  const double decay = parameter.decay ? c.weight_decay : 0.0;
  for (int t = 1; t <= kSteps; ++t) {
    const std::vector<float> gradient = GradientAt(backend, parameter, t);
    for (size_t i = 0; i < w.size(); ++i) {
      double g = gradient[i];
      if (c.name == "sgd") {
        g += decay * w[i];
        m[i] = c.momentum * m[i] + g;
        w[i] -= learning_rate * (c.nesterov ? g + c.momentum * m[i] : m[i]);
      } else {
        m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
        v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
        const double m_hat = m[i] / (1 - std::pow(c.beta1, t));
        const double v_hat = v[i] / (1 - std::pow(c.beta2, t));
        w[i] -= learning_rate * decay * w[i];
        w[i] -= learning_rate * m_hat / (std::sqrt(v_hat) + c.epsilon);
      }
    }
  }
  return w;
}

class OptimizerTest : public ::testing::TestWithParam<OptimizerConfig> {};

TEST_P(OptimizerTest, FollowsItsFormula) {
  TestBackend backend;
  Model model(backend);
  const double learning_rate = 0.05;
  const std::vector<double> kernel = Reference(backend, GetParam(), model.kernel, learning_rate);
  const std::vector<double> bias = Reference(backend, GetParam(), model.bias, learning_rate);
  const std::vector<float> statistic = backend.ToHost(model.statistic.value);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer,
                                 Optimizer::Create(GetParam(), model.parameters(), backend.get()));
  for (int t = 1; t <= kSteps; ++t) {
    backend.Set(model.kernel.gradient, GradientAt(backend, model.kernel, t));
    backend.Set(model.bias.gradient, GradientAt(backend, model.bias, t));
    PROTOPAGE_ASSERT_OK(optimizer->Update(learning_rate));
  }
  EXPECT_EQ(optimizer->updates(), kSteps);
  // Values stay below 2, and each of the steps rounds a few times: 6 * 4 * epsilon * 2.
  const double tolerance = 6 * 4 * 1.2e-7 * 2;
  const std::vector<float> kernel_now = backend.ToHost(model.kernel.value);
  for (size_t i = 0; i < kernel.size(); ++i) EXPECT_NEAR(kernel_now[i], kernel[i], tolerance);
  const std::vector<float> bias_now = backend.ToHost(model.bias.value);
  for (size_t i = 0; i < bias.size(); ++i) EXPECT_NEAR(bias_now[i], bias[i], tolerance);
  EXPECT_EQ(backend.ToHost(model.statistic.value), statistic);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OptimizerTest,
    ::testing::Values(
        OptimizerConfig{},
        OptimizerConfig{
            .name = "adam", .weight_decay = 0.1, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3},
        OptimizerConfig{.name = "sgd", .momentum = 0.0},
        OptimizerConfig{.name = "sgd", .momentum = 0.9},
        OptimizerConfig{.name = "sgd", .momentum = 0.9, .nesterov = true, .weight_decay = 0.1}));

TEST(OptimizerUseTest, FrozenParametersKeepTheirBits) {
  TestBackend backend;
  Model model(backend);
  const std::vector<float> before = backend.ToHost(model.bias.value);
  const std::vector<float> kernel = backend.ToHost(model.kernel.value);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer,
                                 Optimizer::Create({}, model.parameters(), backend.get()));
  model.bias.trainable = false;
  PROTOPAGE_ASSERT_OK(optimizer->Update(0.1));
  EXPECT_EQ(backend.ToHost(model.bias.value), before);
  EXPECT_NE(backend.ToHost(model.kernel.value), kernel);
}

TEST(OptimizerUseTest, ClippingScalesAllGradientsTogether) {
  TestBackend backend;
  Model model(backend);
  double squares = 0.0;
  std::vector<float> all = backend.ToHost(model.kernel.gradient);
  for (const float g : backend.ToHost(model.bias.gradient)) all.push_back(g);
  for (const float g : all) squares += static_cast<double>(g) * g;
  const double norm = std::sqrt(squares);
  OptimizerConfig config;
  config.name = "sgd";
  config.momentum = 0;
  config.clip_norm = norm / 4.0;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer,
                                 Optimizer::Create(config, model.parameters(), backend.get()));
  const std::vector<float> before = backend.ToHost(model.bias.value);
  const std::vector<float> gradient = backend.ToHost(model.bias.gradient);
  PROTOPAGE_ASSERT_OK(optimizer->Update(1.0));
  const std::vector<float> after = backend.ToHost(model.bias.value);
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_NEAR(after[i], before[i] - gradient[i] / 4.0f, 1e-6f);
  }
  // Now the norm is at the limit: what is below it is left alone.
  config.clip_norm = norm / 4.0 * (1 + 1e-6);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto loose,
                                 Optimizer::Create(config, model.parameters(), backend.get()));
  const std::vector<float> clipped = backend.ToHost(model.bias.gradient);
  PROTOPAGE_ASSERT_OK(loose->Update(1.0));
  EXPECT_EQ(backend.ToHost(model.bias.gradient), clipped);
}

TEST(OptimizerUseTest, StateNamesEveryMoment) {
  class Names : public StateVisitor {
   public:
    void Array(absl::string_view name, const Tensor&) override { names.emplace_back(name); }
    void Integer(absl::string_view name, int64_t*) override { names.emplace_back(name); }
    void Number(absl::string_view name, double*) override { names.emplace_back(name); }
    std::vector<std::string> names;
  };
  TestBackend backend;
  Model model(backend);
  Names adam;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer,
                                 Optimizer::Create({}, model.parameters(), backend.get()));
  optimizer->State(adam);
  EXPECT_EQ(adam.names, (std::vector<std::string>{"a/kernel/m", "a/kernel/v", "a/bias/m",
                                                  "a/bias/v", "updates"}));
  OptimizerConfig config;
  config.name = "sgd";
  Names sgd;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(optimizer,
                                 Optimizer::Create(config, model.parameters(), backend.get()));
  optimizer->State(sgd);
  EXPECT_EQ(sgd.names,
            (std::vector<std::string>{"a/kernel/velocity", "a/bias/velocity", "updates"}));
}

TEST(OptimizerUseTest, UnknownNameIsAnError) {
  TestBackend backend(1);
  OptimizerConfig config;
  config.name = "lamb";
  EXPECT_THAT(Optimizer::Create(config, {}, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "must be one of adam, sgd"));
}

// A net of its own would do as well: only parameters() is asked.
absl::Status Example(Backend* backend, Model* net, Schedule* schedule, int64_t step) {
  OptimizerConfig config;  // adam
  PROTOPAGE_ASSIGN_OR_RETURN(auto optimizer, Optimizer::Create(config, net->parameters(), backend));
  PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(config.learning_rate * schedule->Factor(step)));
  return absl::OkStatus();
}

TEST(OptimizerTest, TheExampleOfTheHeader) {
  TestBackend backend;
  Model model(backend);
  const std::vector<float> before = backend.ToHost(model.kernel.value);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto schedule, Schedule::Create({}, 100));
  PROTOPAGE_ASSERT_OK(Example(backend.get(), &model, schedule.get(), 0));
  EXPECT_NE(backend.ToHost(model.kernel.value), before);
}

}  // namespace
}  // namespace protopage
