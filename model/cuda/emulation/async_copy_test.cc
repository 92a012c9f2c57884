#include "protopage/model/cuda/emulation/async_copy.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

// Runs thread(shared) in a block of one thread with 8 words of shared memory.
template <typename Thread>
void RunThread(const Thread& thread) {
  KernelLaunch launch;
  launch.shared_bytes = 8 * sizeof(uint32_t);
  launch.kernel = reinterpret_cast<const void*>(&KernelName);
  launch.thread = [&] { thread(DynamicShared<uint32_t>()); };
  PROTOPAGE_ASSERT_OK(RunKernel(launch));
}

std::vector<uint32_t> Words(const uint32_t* words) {
  return std::vector<uint32_t>(words, words + 4);
}

TEST(AsyncCopyTest, ACopyHasComeWhenItsGroupIsWaitedFor) {
  alignas(16) uint32_t global[8];
  std::iota(global, global + 8, 1);
  RunThread([&](uint32_t* shared) {
    CopyAsync16(shared, global, /*inside=*/true);
    CommitCopies();
    CopyAsync16(shared + 4, global + 4, true);
    CommitCopies();
    EXPECT_THAT(Words(shared), Each(0xffffffffu));
    WaitForCopies<2>();
    EXPECT_THAT(Words(shared), Each(0xffffffffu));
    WaitForCopies<1>();
    EXPECT_THAT(Words(shared), ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(Words(shared + 4), Each(0xffffffffu));
    WaitForCopies<0>();
    EXPECT_THAT(Words(shared + 4), ElementsAre(5, 6, 7, 8));
  });
}

TEST(AsyncCopyTest, WhatIsNotCommittedIsNotWaitedFor) {
  alignas(16) const uint32_t global[4] = {1, 2, 3, 4};
  RunThread([&](uint32_t* shared) {
    CopyAsync16(shared, global, true);
    WaitForCopies<0>();
    EXPECT_THAT(Words(shared), Each(0xffffffffu));
    CommitCopies();
    WaitForCopies<0>();
    EXPECT_THAT(Words(shared), ElementsAre(1, 2, 3, 4));
  });
}

TEST(AsyncCopyTest, OutsideAreZeros) {
  RunThread([&](uint32_t* shared) {
    CopyAsync16(shared, nullptr, /*inside=*/false);
    CommitCopies();
    WaitForCopies<0>();
    EXPECT_THAT(Words(shared), Each(0u));
  });
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
