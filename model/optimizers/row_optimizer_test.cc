#include "protopage/model/optimizers/row_optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/dense_rows.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

constexpr int64_t kClasses = 7, kActive = 3, kDim = 24, kSteps = 60;

// The classes of a step, in random order.
std::vector<int64_t> ActiveAt(int64_t step) {
  RandomStream random(1, RandomPurpose::kTest, 1000 + step);
  return SampleWithoutReplacement(random, kClasses, kActive);
}

class RowOptimizerTest : public ::testing::TestWithParam<std::string> {};

// The paged way: rows and state gathered, updated with `away`, scattered.
TEST_P(RowOptimizerTest, PagedRowsAgreeWithADenseLoop) {
  const bool momentum = GetParam() == "momentum";
  TestBackend backend;
  RowOptimizerConfig config;
  config.name = GetParam();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create(config, backend.get()));
  const double mu = config.momentum;
  const double learning_rate = momentum ? 0.05 : 0.02;
  const int64_t floats = optimizer->StateFloats(kDim);
  ASSERT_EQ(floats, momentum ? kDim : 1);

  std::vector<float> table = backend.ToHost(backend.Random({kClasses, kDim}, 1));
  DenseRows dense(config, learning_rate, kDim, table);
  for (int64_t k = 0; k < kClasses; ++k) {
    std::copy_n(dense.row(k), kDim, &table[k * kDim]);
  }
  std::vector<float> state(kClasses * floats);
  std::vector<int64_t> last(kClasses, -1);
  int64_t longest_away = 0;

  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<int64_t> active = ActiveAt(step);
    const std::vector<float> gradient =
        backend.ToHost(backend.Random({kActive, kDim}, 100 + step, 0.3f));
    dense.Step(active, gradient);
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
    PROTOPAGE_ASSERT_OK(optimizer->Update(learning_rate, device_rows, device_state, away,
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
  for (int64_t k = 0; k < kClasses; ++k) {
    for (int64_t d = 0; d < kDim; ++d) {
      EXPECT_NEAR(table[k * kDim + d], dense.row(k)[d], kSteps * 4 * 6e-8) << "class " << k;
    }
    // What a row that is away will have when it comes back.
    const int64_t missed = kSteps - 1 - last[k];
    for (int64_t j = 0; j < floats; ++j) {
      if (momentum) {
        EXPECT_NEAR(state[k * floats + j] * std::pow(mu, missed), dense.state(k)[j],
                    10 * 4 * 6e-8 * 3 * 3);
      } else {
        EXPECT_NEAR(state[k], *dense.state(k), kSteps * 4 * 6e-8 * *dense.state(k));
      }
    }
  }
}

TEST_P(RowOptimizerTest, ARowWithoutGradientAndStateKeepsItsBits) {
  TestBackend backend;
  RowOptimizerConfig config;
  config.name = GetParam();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create(config, backend.get()));
  // Not quite of unit length, as rows from disk are not.
  const Tensor rows = backend.Random({2, kDim}, 1);
  const std::vector<float> before = backend.ToHost(rows);
  const Tensor zeros = backend.FromHost({2, kDim}, std::vector<float>(2 * kDim));
  const int64_t floats = optimizer->StateFloats(kDim);
  const Tensor state = backend.FromHost({2, floats}, std::vector<float>(2 * floats));
  PROTOPAGE_ASSERT_OK(optimizer->Update(0.1, rows, state, {0, 5}, zeros));
  EXPECT_EQ(backend.ToHost(rows), before);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RowOptimizerTest, ::testing::Values("momentum", "adagrad"));

TEST(RowOptimizerInputTest, ShapesAndAwayAreChecked) {
  TestBackend backend(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto optimizer, RowOptimizer::Create({}, backend.get()));
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

absl::Status Example(Backend* backend, double learning_rate, const Tensor& rows,
                     const Tensor& state, const std::vector<int32_t>& away, const Tensor& d_rows) {
  PROTOPAGE_ASSIGN_OR_RETURN(auto optimizer, RowOptimizer::Create({}, backend));
  // `state` [K, optimizer->StateFloats(D)] is gathered with the rows and scattered with them.
  PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(learning_rate, rows, state, away, d_rows));
  return absl::OkStatus();
}

TEST(RowOptimizerHeaderTest, TheExampleOfTheHeader) {
  TestBackend backend;
  const Tensor rows = backend.FromHost({2, 2}, {1, 0, 0, 1});
  const Tensor state = backend.FromHost({2, 2}, {0, 0, 0, 0});
  PROTOPAGE_ASSERT_OK(
      Example(backend.get(), 1.0, rows, state, {0, 3}, backend.FromHost({2, 2}, {0, -1, 0, 0})));
  const float half = std::sqrt(0.5f);
  EXPECT_EQ(backend.ToHost(rows), (std::vector<float>{half, half, 0, 1}));
}

}  // namespace
}  // namespace protopage
