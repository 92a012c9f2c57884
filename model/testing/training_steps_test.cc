#include "protopage/model/testing/training_steps.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<Backend>> TwoThreads() {
  static ThreadPool* const pool = new ThreadPool(2);
  return NewCpuBackend(pool);
}

INSTANTIATE_TEST_SUITE_P(Cpu, TrainingStepsTest,
                         testing::Values(BackendFactory{"two_threads", TwoThreads}),
                         BackendFactoryName);

TEST(CpuTrainingStepsTest, OneThreadAndTwoGiveTheSameBits) {
  TestBackend one(/*threads=*/1), two(/*threads=*/2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<TrainingTrace> a, RunTrainingSteps(one));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<TrainingTrace> b, RunTrainingSteps(two));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].losses, b[i].losses);
    EXPECT_TRUE(a[i].values == b[i].values);
  }
}

}  // namespace
}  // namespace protopage
