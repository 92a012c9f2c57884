#include "model/cuda/cuda_backend.h"

#include <memory>

#include "base/status_matchers.h"
#include "gtest/gtest.h"
#include "model/backend.h"
#include "model/backend_conformance.h"
#include "model/backend_factory.h"

namespace protopage {
namespace {

// Columns of a convolution that fill the workspace at once, and in tiles of less than a row of an
// image.
INSTANTIATE_TEST_SUITE_P(
    Cuda, BackendConformanceTest,
    testing::Values(BackendFactory{"float32", [] { return NewCudaBackend(); }}),
    BackendFactoryName);

}  // namespace
}  // namespace protopage
