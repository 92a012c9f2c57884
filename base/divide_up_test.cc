#include "protopage/base/divide_up.h"

#include <gtest/gtest.h>

namespace protopage {
namespace {

TEST(DivideUpTest, TheExampleOfTheHeader) {
  const int64_t blocks = DivideUp(1000, 256);  // 4
  EXPECT_EQ(blocks, 4);
}

TEST(DivideUpTest, RoundsUpOnlyWhereThereIsARest) {
  EXPECT_EQ(DivideUp(0, 5), 0);
  EXPECT_EQ(DivideUp(1, 5), 1);
  EXPECT_EQ(DivideUp(5, 5), 1);
  EXPECT_EQ(DivideUp(6, 5), 2);
}

}  // namespace
}  // namespace protopage
