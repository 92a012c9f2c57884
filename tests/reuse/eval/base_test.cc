// Includes of both workspaces side by side.

#include "base/types.h"
#include "gtest/gtest.h"
#include "model/tensor.h"

namespace reuse {
namespace {

TEST(BaseTest, OurEigenIsTheOneThatProtopageUses) {
  EXPECT_EQ(REUSE_OWNS_EIGEN, 1);
  const protopage::RowMatrixXf rows = protopage::RowMatrixXf::Zero(2, 3);
  EXPECT_EQ(rows.size(), 6);
}

TEST(BaseTest, OurHeaderAtThePathOfTheirsIsOurs) {
  EXPECT_EQ(Tensor().rank, 0);
}

}  // namespace
}  // namespace reuse
