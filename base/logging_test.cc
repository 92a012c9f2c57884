#include "protopage/base/logging.h"

#include <gtest/gtest.h>

namespace protopage {
namespace {

TEST(LoggingTest, LevelsAndProgressAreWholeLines) {
  testing::internal::CaptureStderr();
  LogInfo("ready");
  LogWarning("slow");
  DrawProgress("step 1");
  DrawProgress("");
  LogError("bad");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "protopage: ready\nprotopage: warning: slow\nstep 1\nprotopage: "
            "error: bad\n");
}

}  // namespace
}  // namespace protopage
