#include "protopage/model/testing/training_steps.h"

#include "gtest/gtest.h"
#include "protopage/model/cuda/cuda_backend.h"
#include "protopage/model/testing/backend_factory.h"

namespace protopage {
namespace {

// The losses of PyTorch within the tolerances of the CPU: both sum in float32 and the tolerances
// are those of float32, in whatever order.
INSTANTIATE_TEST_SUITE_P(Cuda, TrainingStepsTest,
                         testing::Values(BackendFactory{"float32",
                                                        [] { return NewCudaBackend(); }}),
                         BackendFactoryName);

}  // namespace
}  // namespace protopage
