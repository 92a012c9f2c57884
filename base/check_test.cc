#include "protopage/base/check.h"

#include <gtest/gtest.h>

namespace protopage {
namespace {

TEST(CheckTest, PassesWhenTrue) {
  int evaluated = 0;
  PROTOPAGE_CHECK(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

TEST(CheckDeathTest, NamesTheConditionWhenFalse) {
  EXPECT_DEATH(PROTOPAGE_CHECK(1 + 1 == 3), "check_test.cc:.*1 \\+ 1 == 3");
}

}  // namespace
}  // namespace protopage
