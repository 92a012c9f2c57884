// Compares whole training steps of the CUDA backend to those of the CPU: dropout, schedule, Adam or
// momentum, margin softmax, unit rows.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/nets/nets.h"
#include "protopage/model/precision.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/rounding_error.h"
#include "protopage/model/testing/testing.h"
#include "protopage/model/testing/training_steps.h"

namespace protopage {

// training_steps_test.cc instantiates it; only RunTrainingSteps is used here.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrainingStepsTest);

namespace {

std::vector<TrainingTrace> OnCuda(const CudaBackendOptions& options, const TrainingRun& run) {
  auto cuda = NewCudaBackend(options);
  if (!cuda.ok()) {
    ADD_FAILURE() << cuda.status();
    return {};
  }
  TestBackend backend(*std::move(cuda));
  auto traces = RunTrainingSteps(backend, run);
  PROTOPAGE_EXPECT_OK(traces);
  return traces.ok() ? *std::move(traces) : std::vector<TrainingTrace>();
}

// Shared by the tests: emulated, it takes seconds.
const std::vector<TrainingTrace>& Float32OnCuda() {
  static const auto* const traces = new std::vector<TrainingTrace>(OnCuda({}, {}));
  return *traces;
}

constexpr double kLossScale = 24.0;  // Of LossConfig.

// The two differ by rounding alone. The difference grows from step to step, because Adam divides
// small gradients by their size and momentum uses a large learning rate. Perturbed runs of the same
// steps on the CPU measure by how much.
void ExpectLossesOfTheCpu(const std::vector<TrainingTrace>& actual, Precision precision, int steps,
                          int seeds) {
  TestBackend cpu;
  TrainingRun run;
  run.steps = steps;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<TrainingTrace> expected,
                                 RunTrainingSteps(cpu, run));
  run.weight_error = RoundingError(precision, kTrainingDepth);
  std::vector<std::vector<std::vector<double>>> perturbed(expected.size());
  for (run.seed = 1; run.seed <= static_cast<uint64_t>(seeds); ++run.seed) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<TrainingTrace> traces,
                                   RunTrainingSteps(cpu, run));
    for (size_t i = 0; i < traces.size(); ++i) perturbed[i].push_back(traces[i].losses);
  }
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::vector<double> bounds = RoundingBounds(expected[i].losses, perturbed[i], kLossScale);
    ASSERT_EQ(actual[i].losses.size(), bounds.size());
    for (size_t step = 0; step < bounds.size(); ++step) {
      EXPECT_NEAR(actual[i].losses[step], expected[i].losses[step], bounds[step])
          << (i == 0 ? "Adam" : "momentum") << ", step " << step;
    }
  }
}

TEST(CudaParityTest, LossesAreThoseOfTheCpu) {
  ExpectLossesOfTheCpu(Float32OnCuda(), Precision::kFloat32, 20, 6);
}

void ExpectLossesAsFarAsTheirRounding(const CudaBackendOptions& options) {
  SCOPED_TRACE(PrecisionName(options.precision));
  TrainingRun run;
  run.steps = 2;
  ExpectLossesOfTheCpu(OnCuda(options, run), options.precision, run.steps, 3);
}

TEST(CudaParityTest, LossesOfOtherPrecisionsAreAsFarAsTheirRounding) {
  CudaBackendOptions options;
  for (const Precision precision : {Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
    options.precision = precision;
    ExpectLossesAsFarAsTheirRounding(options);
  }
}

TEST(CudaParityTest, LossesOfImplicitConvolutionsAreAsFarAsTheirRounding) {
  CudaBackendOptions options;
  options.convolutions = ConvolutionMethod::kImplicit;
  options.precision = Precision::kBf16;  // Half as many emulated products as with TF32.
  ExpectLossesAsFarAsTheirRounding(options);
}

TEST(CudaParityTest, FeatureMapsOf16BitsTakeHalfTheMemory) {
  const auto bytes_of = [](Precision precision) -> absl::StatusOr<int64_t> {
    CudaBackendOptions options;
    options.precision = precision;
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, NewCudaBackend(options));
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Net> net,
                               Net::Create(NetOptions(), {24, 24, 3}, 1, backend.get()));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor images,
                               backend->Allocate(DType::kUint8, {4, 24, 24, 3}));
    Tensor features;
    PROTOPAGE_RETURN_IF_ERROR(
        net->Forward(images, {.training = true, .dropout = 0.25f}, &features));
    EXPECT_EQ(features.dtype(), DType::kFloat32);
    return net->graph().workspace_bytes();
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t bytes32, bytes_of(Precision::kTf32));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t bytes16, bytes_of(Precision::kBf16));
  // Everything but the positions of the pools.
  EXPECT_LT(bytes16, 0.6 * static_cast<double>(bytes32));
}

TEST(CudaParityTest, TwoRunsGiveTheSameBits) {
  const std::vector<TrainingTrace>& first = Float32OnCuda();
  const std::vector<TrainingTrace> second = OnCuda({}, {});
  ASSERT_FALSE(first.empty());
  ASSERT_EQ(first.size(), second.size());
  for (size_t run = 0; run < first.size(); ++run) {
    EXPECT_EQ(first[run].losses, second[run].losses);
    EXPECT_TRUE(first[run].values == second[run].values);
  }
}

}  // namespace
}  // namespace protopage
