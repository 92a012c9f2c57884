#include "protopage/model/benchmarks/seed_cnn_step.h"

#include <gtest/gtest.h>

#include <memory>

#include "protopage/base/thread_pool.h"
#include "protopage/model/cpu/cpu_backend.h"

namespace protopage {
namespace {

// Compiled only: it runs for seconds.
[[maybe_unused]] void Example(const std::unique_ptr<Backend>& backend) {
  SeedCnnStep step(backend.get(), /*batch=*/256);
  step.ImagesPerSecond(/*seconds=*/2);
}

TEST(SeedCnnStepTest, RunsStepsOfASmallBatch) {
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = ValueOf(NewCpuBackend(&pool));
  SeedCnnStep step(backend.get(), /*batch=*/2);
  EXPECT_GT(step.ImagesPerSecond(/*seconds=*/0), 0.0);
}

}  // namespace
}  // namespace protopage
