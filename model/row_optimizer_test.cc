#include "model/row_optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/random.h"
#include "base/status_matchers.h"
#include "model/backend.h"
#include "model/tensor.h"
#include "model/testing.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 7, kActive = 3, kDim = 24, kSteps = 60;

double Dot(const double* a, const double* b) {
  double sum = 0.0;
  for (int64_t d = 0; d < kDim; ++d) sum += a[d] * b[d];
  return sum;
}

// a -= (a . w) w
void Project(double* a, const double* w) {
  const double along = Dot(a, w);
  for (int64_t d = 0; d < kDim; ++d) a[d] -= along * w[d];
}

// The classes of a step, in random order.
std::vector<int64_t> ActiveAt(int64_t step) {
  RandomStream random(1, RandomPurpose::kTest, 1000 + step);
  return SampleWithoutReplacement(random, kClasses, kActive);
}

class RowOptimizerTest : public ::testing::TestWithParam<std::string> {};

// The paged way (rows and state gathered, updated with `away`, scattered) against a dense
// table in double whose every row sees every step: an active one the update, one that is away
// only v <- mu v.
TEST_P(RowOptimizerTest, PagedRowsAgreeWithADenseLoop) {
  const bool momentum = GetParam() == "momentum";
  TestBackend backend;
  RowOptimizerConfig config;
  config.name = GetParam();
  ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create(config, backend.get()));
  const double mu = config.momentum;
  const double learning_rate = momentum ? 0.05 : 0.02;
  const int64_t floats = optimizer->StateFloats(kDim);
  ASSERT_EQ(floats, momentum ? kDim : 1);

  std::vector<float> table = backend.ToHost(backend.Random({kClasses, kDim}, 1));
  std::vector<double> w(table.begin(), table.end());
  for (int64_t k = 0; k < kClasses; ++k) {
    const double norm = std::sqrt(Dot(&w[k * kDim], &w[k * kDim]));
    for (int64_t d = 0; d < kDim; ++d) {
      w[k * kDim + d] /= norm;
      table[k * kDim + d] = static_cast<float>(w[k * kDim + d]);
    }
  }
  std::vector<double> v(kClasses * kDim), h(kClasses);
  std::vector<float> state(kClasses * floats);
  std::vector<int64_t> last(kClasses, -1);
  int64_t longest_away = 0;

  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<int64_t> active = ActiveAt(step);
    const std::vector<float> gradient =
        backend.ToHost(backend.Random({kActive, kDim}, 100 + step, 0.3f));
    // Dense.
    for (int64_t k = 0; k < kClasses; ++k) {
      const auto found = std::find(active.begin(), active.end(), k);
      double* row = &w[k * kDim];
      double* velocity = &v[k * kDim];
      if (found == active.end()) {
        for (int64_t d = 0; d < kDim; ++d) velocity[d] *= mu;
        continue;
      }
      const float* raw = &gradient[(found - active.begin()) * kDim];
      std::vector<double> g(raw, raw + kDim);
      Project(g.data(), row);
      if (momentum) {
        Project(velocity, row);
        for (int64_t d = 0; d < kDim; ++d) {
          velocity[d] = mu * velocity[d] + g[d];
          row[d] -= learning_rate * velocity[d];
        }
      } else {
        h[k] += Dot(g.data(), g.data()) / kDim;
        const double rate = learning_rate / (std::sqrt(h[k]) + config.epsilon);
        for (int64_t d = 0; d < kDim; ++d) row[d] -= rate * g[d];
      }
      const double norm = std::sqrt(Dot(row, row));
      for (int64_t d = 0; d < kDim; ++d) row[d] /= norm;
      if (momentum) Project(velocity, row);
    }
    // Paged.
    std::vector<float> rows, states;
    std::vector<int32_t> away;
    for (const int64_t k : active) {
      rows.insert(rows.end(), &table[k * kDim], &table[k * kDim] + kDim);
      states.insert(states.end(), &state[k * floats], &state[k * floats] + floats);
      away.push_back(last[k] < 0 ? 0 : static_cast<int32_t>(step - last[k] - 1));
      longest_away = std::max<int64_t>(longest_away, away.back());
      last[k] = step;
    }
    const Tensor device_rows = backend.FromHost({kActive, kDim}, rows);
    const Tensor device_state = backend.FromHost({kActive, floats}, states);
    ASSERT_OK(optimizer->Update(learning_rate, device_rows, device_state, away,
                                backend.FromHost({kActive, kDim}, gradient)));
    rows = backend.ToHost(device_rows);
    states = backend.ToHost(device_state);
    for (int64_t i = 0; i < kActive; ++i) {
      std::copy_n(&rows[i * kDim], kDim, &table[active[i] * kDim]);
      std::copy_n(&states[i * floats], floats, &state[active[i] * floats]);
    }
  }
  EXPECT_GE(longest_away, 4);
  // Elements are below 1; a step rounds a few times, and an error stays with the row: kSteps
  // * 4 * epsilon. The velocity's decay makes its own errors those of about 10 steps, on
  // values below 3.
  for (int64_t i = 0; i < kClasses * kDim; ++i) {
    EXPECT_NEAR(table[i], w[i], kSteps * 4 * 6e-8) << "class " << i / kDim;
  }
  for (int64_t k = 0; k < kClasses; ++k) {
    // What a row that is away will have when it comes back.
    const int64_t missed = kSteps - 1 - last[k];
    for (int64_t j = 0; j < floats; ++j) {
      if (momentum) {
        EXPECT_NEAR(state[k * floats + j] * std::pow(mu, missed), v[k * kDim + j],
                    10 * 4 * 6e-8 * 3 * 3);
      } else {
        EXPECT_NEAR(state[k], h[k], kSteps * 4 * 6e-8 * h[k]);
      }
    }
  }
}

TEST_P(RowOptimizerTest, ARowWithoutGradientAndStateKeepsItsBits) {
  TestBackend backend;
  RowOptimizerConfig config;
  config.name = GetParam();
  ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create(config, backend.get()));
  // Not quite of unit length, as rows from disk are not.
  const Tensor rows = backend.Random({2, kDim}, 1);
  const std::vector<float> before = backend.ToHost(rows);
  const Tensor zeros = backend.FromHost({2, kDim}, std::vector<float>(2 * kDim));
  const int64_t floats = optimizer->StateFloats(kDim);
  const Tensor state = backend.FromHost({2, floats}, std::vector<float>(2 * floats));
  ASSERT_OK(optimizer->Update(0.1, rows, state, {0, 5}, zeros));
  EXPECT_EQ(backend.ToHost(rows), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RowOptimizerTest, ::testing::Values("momentum", "adagrad"));

TEST(RowOptimizerInputTest, ShapesAndAwayAreChecked) {
  TestBackend backend(1);
  ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create({}, backend.get()));
  const Tensor rows = backend.Random({2, 4}, 1);
  const Tensor state = backend.FromHost({2, 4}, std::vector<float>(8));
  const Tensor gradient = backend.Random({2, 4}, 2);
  EXPECT_THAT(optimizer->Update(0.1, rows, backend.Random({2, 1}, 1), {0, 0}, gradient),
              StatusIs(absl::StatusCode::kInvalidArgument, "state is [2, 1]"));
  EXPECT_THAT(optimizer->Update(0.1, rows, state, {0}, gradient),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 values of away for 2 rows"));
  EXPECT_THAT(optimizer->Update(0.1, rows, state, {0, -2}, gradient),
              StatusIs(absl::StatusCode::kInvalidArgument, "away is -2 at position 1"));
  RowOptimizerConfig config;
  config.name = "adam";
  EXPECT_THAT(RowOptimizer::Create(config, backend.get()),
              StatusIs(absl::StatusCode::kInvalidArgument, "must be one of momentum, adagrad"));
}

}  // namespace
}  // namespace protopage
