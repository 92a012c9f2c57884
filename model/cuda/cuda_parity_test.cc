// Whole training steps of the CUDA backend beside those of the CPU: dropout, schedule, Adam or momentum,
// margin softmax, unit rows.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/status_matchers.h"
#include "model/cuda/cuda_backend.h"
#include "model/testing.h"
#include "model/training_steps.h"

namespace protopage {

// Only RunTrainingSteps is used here.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrainingStepsTest);

namespace {

std::vector<TrainingTrace> OnCuda() {
  auto cuda = NewCudaBackend();
  if (!cuda.ok()) {
    ADD_FAILURE() << cuda.status();
    return {};
  }
  TestBackend backend(*std::move(cuda));
  auto traces = RunTrainingSteps(backend);
  EXPECT_OK(traces);
  return traces.ok() ? *std::move(traces) : std::vector<TrainingTrace>();
}

// Both sum in float32 in an order of their own. Adam divides small gradients by their size and
// momentum is at a large learning rate, so that rounding grows from step to step, as between
// PyTorch's float32 and its float64 (model/training_steps.cc): the bound does too. Another rule,
// another random number or a lost update is off by 1e-3 in the first steps.
TEST(CudaParityTest, LossesAreThoseOfTheCpu) {
  TestBackend cpu;
  ASSERT_OK_AND_ASSIGN(const std::vector<TrainingTrace> expected, RunTrainingSteps(cpu));
  const std::vector<TrainingTrace> actual = OnCuda();
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t run = 0; run < expected.size(); ++run) {
    ASSERT_EQ(actual[run].losses.size(), expected[run].losses.size());
    for (size_t step = 0; step < expected[run].losses.size(); ++step) {
      const double tolerance = step < 5 ? 1e-5 : step < 10 ? 3e-4 : 2e-2;
      const double loss = expected[run].losses[step];
      EXPECT_NEAR(actual[run].losses[step], loss, tolerance * std::abs(loss))
          << "run " << run << ", step " << step;
    }
  }
}

TEST(CudaParityTest, TwoRunsGiveTheSameBits) {
  const std::vector<TrainingTrace> first = OnCuda(), second = OnCuda();
  ASSERT_FALSE(first.empty());
  ASSERT_EQ(first.size(), second.size());
  for (size_t run = 0; run < first.size(); ++run) {
    EXPECT_EQ(first[run].losses, second[run].losses);
    EXPECT_TRUE(first[run].values == second[run].values);
  }
}

}  // namespace
}  // namespace protopage
