#include "protopage/model/testing/testing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "protopage/model/testing/dense_rows.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

TEST(TestBackendTest, TheExampleOfTheHeader) {
  TestBackend backend(/*threads=*/2);
  Tensor x = backend.FromHost({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(backend.ToHost(x), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(DenseRowsTest, TheExampleOfTheHeader) {
  const RowOptimizerConfig config;
  const std::vector<float> rows = {3, 0, 0, 3};                     // [N, D]
  const std::vector<float> gradients = {0, 1, 1, 0};                // [2, D]
  DenseRows dense(config, /*learning_rate=*/1.0, /*dim=*/2, rows);  // [N, D], made unit vectors.
  dense.Step(/*active=*/{0, 1}, gradients);                         // [2, D]
  EXPECT_NEAR(dense.row(0)[0], std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(dense.row(1)[0], -std::sqrt(0.5), 1e-12);
}

}  // namespace
}  // namespace protopage
