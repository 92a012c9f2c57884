#include "protopage/model/testing/conformance_fixture.h"

#include <memory>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/every_operation.h"
#include "protopage/model/testing/test_windows.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<Backend>> NewBackend() {
  static ThreadPool* const pool = new ThreadPool(1);
  return NewCpuBackend(pool, {"avx2"});
}

// The examples of backend_factory.h and backend_conformance.h; here the suite is this file's.
INSTANTIATE_TEST_SUITE_P(Cpu, BackendConformanceTest,
                         testing::Values(BackendFactory{"avx2", [] { return NewBackend(); }}),
                         BackendFactoryName);

// The example of conformance_fixture.h.
TEST_P(BackendConformanceTest, FillsWithAValue) {
  const Tensor x = Empty({3});
  PROTOPAGE_ASSERT_OK(backend_->Fill(x, 2.0f));
  ExpectNear(x, {2.0, 2.0, 2.0}, /*factor=*/0, "Fill");
}

TEST(EveryOperationTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewBackend());
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto first, RunEveryOperation(*backend));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto second, RunEveryOperation(*backend));
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].bytes, second[i].bytes);
}

TEST(TestWindowsTest, TheExampleOfTheHeader) {
  const Window2d w = MakeWindow(/*batch=*/2, /*in_h=*/9, /*in_w=*/7, /*in_c=*/3, /*out_c=*/32,
                                /*kernel_h=*/3, /*kernel_w=*/3, /*stride_h=*/1, /*stride_w=*/1,
                                /*same=*/true);
  EXPECT_EQ(OutShape(w), Shape({2, 9, 7, 32}));
}

}  // namespace
}  // namespace protopage
