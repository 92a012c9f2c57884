#include "protopage/model/testing/training_steps.h"

#include "gtest/gtest.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/testing/backend_factory.h"

namespace protopage {
namespace {

// Runs the suite of model/testing/training_steps.h, which has all the assertions: 20 steps must
// have the losses of PyTorch. The tolerances are those of the CPU, because both backends sum in
// float32, in different orders.
INSTANTIATE_TEST_SUITE_P(Cuda, TrainingStepsTest,
                         testing::Values(BackendFactory{"float32",
                                                        [] { return NewCudaBackend(); }}),
                         BackendFactoryName);

}  // namespace
}  // namespace protopage
