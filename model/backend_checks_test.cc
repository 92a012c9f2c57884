#include "protopage/model/backend_checks.h"

#include "gtest/gtest.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

TEST(BackendChecksTest, TheExampleOfTheHeader) {
  TestBackend backend(1);
  const Tensor x = backend.Random({2, 3, 4, 5}, 1), gamma = backend.Random({5}, 2);
  const MatrixView m(x);  // [M, C], any leading dimensions.
  CheckFloat(gamma, m.cols);
  EXPECT_EQ(m.rows, 24);
  EXPECT_EQ(m.cols, 5);
}

TEST(BackendChecksDeathTest, AMistakeEndsTheProgram) {
  TestBackend backend(1);
  const Tensor x = backend.Random({5}, 1);
  EXPECT_DEATH(CheckFloat(x, 4), "");
  EXPECT_DEATH(CheckInt(x, 5), "");
  EXPECT_DEATH(CheckFloat(Tensor(), 5), "");
}

}  // namespace
}  // namespace protopage
