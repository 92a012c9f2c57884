#include "protopage/model/cuda/emulation/fiber.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::ElementsAre;

TEST(FiberTest, GoesOnWhereItStopped) {
  bool first = false, second = false;
  std::unique_ptr<Fiber> fiber;
  fiber = std::make_unique<Fiber>([&] {
    first = true;
    fiber->Suspend();
    second = true;
  });
  EXPECT_FALSE(first);
  fiber->Resume();
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  fiber->Resume();
  EXPECT_TRUE(second);
}

TEST(FiberTest, StartsAnewOnceTheBodyReturned) {
  int runs = 0;
  Fiber fiber([&] { ++runs; });
  for (int i = 0; i < 3; ++i) fiber.Resume();
  EXPECT_EQ(runs, 3);
}

TEST(FiberTest, ManyInterleaveAndKeepTheirLocals) {
  constexpr int kFibers = 1024;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<int> sums(kFibers, 0);
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(std::make_unique<Fiber>([&fibers, &sums, i] {
      volatile int mine[16];
      for (int k = 0; k < 16; ++k) mine[k] = i * k;
      for (int k = 0; k < 16; ++k) {
        fibers[i]->Suspend();
        sums[i] += mine[k];
      }
    }));
  }
  for (int k = 0; k <= 16; ++k) {
    for (auto& fiber : fibers) fiber->Resume();
  }
  for (int i = 0; i < kFibers; ++i) EXPECT_EQ(sums[i], i * 120);
}

TEST(FiberTest, AnAbandonedBodyStartsAnew) {
  std::vector<int> trace;
  std::unique_ptr<Fiber> fiber;
  fiber = std::make_unique<Fiber>([&] {
    trace.push_back(1);
    fiber->Suspend();
    trace.push_back(2);
  });
  fiber->Resume();
  fiber->Abandon();
  fiber->Resume();
  fiber->Resume();
  EXPECT_THAT(trace, ElementsAre(1, 1, 2));
}

TEST(FiberTest, MayBeResumedFromAnotherFiber) {
  std::vector<int> trace;
  Fiber inner([&] { trace.push_back(2); });
  Fiber outer([&] {
    trace.push_back(1);
    inner.Resume();
    trace.push_back(3);
  });
  outer.Resume();
  EXPECT_THAT(trace, ElementsAre(1, 2, 3));
}

TEST(FiberDeathTest, AStackThatOverflowsEndsTheProgram) {
  EXPECT_DEATH(
      {
        Fiber fiber([] {
          volatile char frame[1 << 20];
          for (int i = (1 << 20) - 1; i >= 0; --i) frame[i] = 1;
          EXPECT_EQ(frame[0], 1);
        });
        fiber.Resume();
      },
      "");
}

TEST(FiberTest, TheExampleOfTheHeader) {
  bool first = false, second = false;
  Fiber fiber([&] {
    first = true;
    fiber.Suspend();
    second = true;
  });
  fiber.Resume();
  fiber.Resume();
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
