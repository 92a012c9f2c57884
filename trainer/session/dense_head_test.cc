#include "protopage/trainer/session/dense_head.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/cpu/cpu_backend.h"

namespace protopage {
namespace {

TEST(DenseHeadTest, TheExampleOfTheHeader) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto cpu, NewCpuBackend(&pool));
  Backend* const backend = cpu.get();
  constexpr int64_t dim = 16;
  constexpr uint64_t seed = 1;
  const auto example = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(auto head,
                               DenseHead::Create(/*num_classes=*/10, dim, seed, backend));
    const Tensor rows = head->parameter()->value;  // [10, dim], for a MarginLoss.
    EXPECT_EQ(rows.shape(), Shape({10, dim}));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
}

TEST(DenseHeadTest, RowsAreGlorotNormalAndAFunctionOfTheSeed) {
  ThreadPool pool(1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto backend, NewCpuBackend(&pool));
  const int64_t classes = 100, dim = 512;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto head,
                                 DenseHead::Create(classes, dim, 1, backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto same,
                                 DenseHead::Create(classes, dim, 1, backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto other,
                                 DenseHead::Create(classes, dim, 2, backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf rows, head->Rows(backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf same_rows, same->Rows(backend.get()));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const RowMatrixXf other_rows, other->Rows(backend.get()));
  EXPECT_EQ(rows, same_rows);
  EXPECT_NE(rows, other_rows);
  const double variance = rows.cast<double>().squaredNorm() / static_cast<double>(rows.size());
  const double expected = 2.0 / (dim + classes);
  // Five standard errors of a variance of n normals: 5 sqrt(2 / n).
  EXPECT_NEAR(variance / expected, 1.0, 5 * std::sqrt(2.0 / static_cast<double>(rows.size())));
  EXPECT_EQ(head->parameter()->name, "head/kernel");
  EXPECT_EQ(head->num_classes(), classes);
}

}  // namespace
}  // namespace protopage
