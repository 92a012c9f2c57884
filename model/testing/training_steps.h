// Whole training steps of seed_cnn on a backend: losses pinned against PyTorch, and the same bits
// after a checkpoint. A backend's test is one file:
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, TrainingStepsTest,
//                            testing::Values(BackendFactory{"two_threads", TwoThreads}),
//                            BackendFactoryName);
#ifndef PROTOPAGE_MODEL_TESTING_TRAINING_STEPS_H_
#define PROTOPAGE_MODEL_TESTING_TRAINING_STEPS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/testing.h"

namespace protopage {

class TrainingStepsTest : public testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override;

  std::unique_ptr<TestBackend> backend_;
};

// Steps with dropout and a schedule, with Adam and then with momentum: equal bits for two runs, and
// for any number of threads.
struct TrainingTrace {
  std::vector<double> losses;  // Of each step.
  std::vector<float> values;   // All trained values at the end.
};
struct TrainingRun {
  int steps = 20;  // At most 20.
  // The relative perturbation of the weights before each step, and the seed of its random numbers
  // (model/testing/rounding_error.h).
  double weight_error = 0.0;
  uint64_t seed = 0;
};
absl::StatusOr<std::vector<TrainingTrace>> RunTrainingSteps(TestBackend& backend,
                                                            const TrainingRun& run = {});
// The products in the longest sum of a forward step.
inline constexpr int64_t kTrainingDepth = 9 * 64;

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_TRAINING_STEPS_H_
