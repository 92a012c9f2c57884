#include "protopage/model/cpu/winograd.h"

#include <gtest/gtest.h>

#include "protopage/base/thread_pool.h"

namespace protopage {
namespace {

// That the results are right, model/testing/backend_conformance.h says.
TEST(WinogradTakesTest, WholePanelsOfChannelsUnderSquareKernelsAndWhereItGains) {
  ThreadPool pool(1);
  const CpuContext context(&pool, avx2::GetMatrixKernels(), avx2::GetVectorKernels(),
                           avx2::GetWinogradKernels());
  Window2d window;
  window.batch = 2, window.in_h = window.in_w = window.out_h = window.out_w = 8;
  window.in_c = 32, window.out_c = 64;
  window.kernel_h = window.kernel_w = 3, window.pad_top = window.pad_left = 1;
  EXPECT_TRUE(WinogradTakes(context, window));

  Window2d other = window;
  other.in_c = 24;
  EXPECT_FALSE(WinogradTakes(context, other));
  other = window, other.out_c = 3;
  EXPECT_FALSE(WinogradTakes(context, other));
  other = window, other.out_c = 80;  // A group of columns and a rest.
  EXPECT_FALSE(WinogradTakes(context, other));
  other = window, other.kernel_w = 1, other.pad_left = 0;
  EXPECT_FALSE(WinogradTakes(context, other));
  other = window, other.stride_h = other.stride_w = 2, other.out_h = other.out_w = 4;
  EXPECT_FALSE(WinogradTakes(context, other));
  // 9 positions would take 4 tiles; 5 x 5 are 9 tiles.
  other = window, other.in_h = other.in_w = other.out_h = other.out_w = 3;
  EXPECT_FALSE(WinogradTakes(context, other));
  other = window, other.in_h = other.in_w = other.out_h = other.out_w = 5;
  EXPECT_TRUE(WinogradTakes(context, other));
}

}  // namespace
}  // namespace protopage
