#include "protopage/model/cuda/emulation/shadow_memory.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace protopage {
namespace emulation {
namespace {

using ::testing::Field;
using ::testing::Matcher;

using Result = ShadowMemory::Result;

constexpr bool kRead = false, kWrite = true;

// Work comes after all work with a lower number, except that only work 9 waits for work 1.
class Order : public WorkOrder {
 public:
  bool IsBefore(uint32_t earlier) const override { return earlier != 1 || current == 9; }
  uint32_t current = 2;
};

Access Of(uint32_t thread, uint32_t barriers = 0, uint32_t warp_syncs = 0, uint32_t block = 0,
          uint32_t work = 2) {
  Access access;
  access.work = work, access.block = block, access.thread = thread;
  access.barriers = barriers, access.warp_syncs = warp_syncs;
  return access;
}

Matcher<Result> Is(ShadowMemory::Finding finding) { return Field(&Result::finding, finding); }

class ShadowMemoryTest : public ::testing::Test {
 protected:
  // Notes an access to word 0.
  Result Note(bool write, const Access& access) {
    order_.current = access.work;
    return shadow_.Note(0, 4, write, access, order_);
  }
  void Expect(ShadowMemory::Finding finding, bool write, const Access& access) {
    EXPECT_THAT(Note(write, access), Is(finding));
  }

  Order order_;
  ShadowMemory shadow_{64, ShadowMemory::kDevice};
  ShadowMemory shared_{64, ShadowMemory::kShared};
};

TEST_F(ShadowMemoryTest, AThreadReadsWhatItWrote) {
  Expect(ShadowMemory::kNone, kWrite, Of(3));
  Expect(ShadowMemory::kNone, kRead, Of(3));
  Expect(ShadowMemory::kNone, kWrite, Of(3));
}

TEST_F(ShadowMemoryTest, AnotherThreadNeedsABarrierToRead) {
  Expect(ShadowMemory::kNone, kWrite, Of(3));
  const Result race = Note(kRead, Of(4));
  EXPECT_THAT(race, Is(ShadowMemory::kRace));
  EXPECT_TRUE(race.other_wrote);
  EXPECT_EQ(race.other.thread, 3);
  Expect(ShadowMemory::kNone, kRead, Of(4, /*barriers=*/1));
}

TEST_F(ShadowMemoryTest, AnotherThreadNeedsABarrierToWrite) {
  Expect(ShadowMemory::kNone, kWrite, Of(3));
  Expect(ShadowMemory::kRace, kWrite, Of(4));
  Expect(ShadowMemory::kNone, kWrite, Of(5, /*barriers=*/1));
}

TEST_F(ShadowMemoryTest, AWriteWaitsForTheReadOfAnotherThread) {
  Expect(ShadowMemory::kNone, kWrite, Of(0));
  Expect(ShadowMemory::kNone, kRead, Of(3, /*barriers=*/1));
  const Result race = Note(kWrite, Of(4, /*barriers=*/1));
  EXPECT_THAT(race, Is(ShadowMemory::kRace));
  EXPECT_FALSE(race.other_wrote);
  EXPECT_EQ(race.other.thread, 3);
}

TEST_F(ShadowMemoryTest, AWriteWaitsForTheReadsOfSeveralThreadsAlsoWhenItsOwnIsTheLast) {
  for (const uint32_t first : {5, 40}) {  // In the same warp, and in another.
    Expect(ShadowMemory::kNone, kWrite, Of(0, 10));
    Expect(ShadowMemory::kNone, kRead, Of(first, 11));
    Expect(ShadowMemory::kNone, kRead, Of(4, 11));
    Expect(ShadowMemory::kRace, kWrite, Of(4, 11));
    Expect(ShadowMemory::kNone, kWrite, Of(0, 12));
    Expect(ShadowMemory::kNone, kRead, Of(first, 13));
    Expect(ShadowMemory::kNone, kRead, Of(4, 13));
    Expect(ShadowMemory::kNone, kWrite, Of(4, 14));
    order_ = Order();
    shadow_ = ShadowMemory(64, ShadowMemory::kDevice);
  }
}

TEST_F(ShadowMemoryTest, AWarpsBarrierOrdersThatWarp) {
  Expect(ShadowMemory::kNone, kWrite, Of(3));
  Expect(ShadowMemory::kNone, kRead, Of(4, 0, /*warp_syncs=*/1));
  Expect(ShadowMemory::kNone, kRead, Of(5, 0, 1));
  Expect(ShadowMemory::kRace, kWrite, Of(5, 0, 1));
  Expect(ShadowMemory::kNone, kWrite, Of(6, 0, 2));
  Expect(ShadowMemory::kRace, kRead, Of(36, 0, 3));  // The count is that of another warp.
}

TEST_F(ShadowMemoryTest, BlocksOfALaunchAreNotOrdered) {
  Expect(ShadowMemory::kNone, kWrite, Of(3));
  const Result race = Note(kRead, Of(3, 5, 5, /*block=*/1));
  EXPECT_THAT(race, Is(ShadowMemory::kRace));
  EXPECT_EQ(race.other.block, 0);
  Expect(ShadowMemory::kNone, kWrite, Of(0, 0, 0, 0, /*work=*/3));
  Expect(ShadowMemory::kNone, kRead, Of(0, 0, 0, 1, 4));
  Expect(ShadowMemory::kNone, kRead, Of(0, 0, 0, 2, 4));
  Expect(ShadowMemory::kRace, kWrite, Of(0, 0, 0, 2, 4));
}

TEST_F(ShadowMemoryTest, WorkOfStreamsThatDoNotWaitIsNotOrdered) {
  Expect(ShadowMemory::kNone, kWrite, Of(0, 0, 0, 0, /*work=*/1));
  Expect(ShadowMemory::kRace, kRead, Of(0, 0, 0, 0, 2));
  Expect(ShadowMemory::kNone, kRead, Of(0, 0, 0, 0, 9));
}

TEST_F(ShadowMemoryTest, AReadOfAnotherStreamIsRememberedInAdditionToTheLast) {
  Expect(ShadowMemory::kNone, kWrite, Of(0, 0, 0, 0, /*work=*/0 + 2));
  Expect(ShadowMemory::kNone, kRead, Of(0, 0, 0, 0, 1));
  Expect(ShadowMemory::kNone, kRead, Of(0, 0, 0, 0, 3));
  const Result race = Note(kWrite, Of(0, 0, 0, 0, 4));
  EXPECT_THAT(race, Is(ShadowMemory::kRace));
  EXPECT_EQ(race.other.work, 1);
  EXPECT_FALSE(race.other_wrote);
}

TEST_F(ShadowMemoryTest, HalvesOfAWordAreTwoPlaces) {
  const auto note = [&](size_t offset, bool write, uint32_t thread) {
    return shadow_.Note(offset, 2, write, Of(thread), order_);
  };
  EXPECT_THAT(note(0, kWrite, 0), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(2, kWrite, 1), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(2, kRead, 1), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(0, kRead, 0), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(0, kWrite, 0), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(0, kRead, 1), Is(ShadowMemory::kRace));
}

TEST_F(ShadowMemoryTest, OneReadOfManyWordsFindsTheOneThatWasWritten) {
  EXPECT_THAT(shadow_.Note(8, 4, kWrite, Of(3), order_), Is(ShadowMemory::kNone));
  EXPECT_THAT(shadow_.Note(8, 8, kRead, Of(3), order_), Is(ShadowMemory::kUnwritten));
  EXPECT_THAT(shadow_.Note(8, 8, kWrite, Of(4), order_), Is(ShadowMemory::kRace));
}

TEST_F(ShadowMemoryTest, WhatNothingHasWrittenIsNotRead) {
  Expect(ShadowMemory::kUnwritten, kRead, Of(0));
  EXPECT_THAT(shadow_.Note(4, 2, kWrite, Of(0), order_), Is(ShadowMemory::kNone));
  EXPECT_THAT(shadow_.Note(4, 4, kRead, Of(0), order_), Is(ShadowMemory::kUnwritten));
  ShadowMemory pinned(4, ShadowMemory::kPinned);
  EXPECT_THAT(pinned.Note(0, 4, kRead, Of(0), order_), Is(ShadowMemory::kNone));
}

TEST_F(ShadowMemoryTest, SharedMemoryIsOfEachBlockByItself) {
  const auto note = [&](bool write, const Access& access) {
    return shared_.Note(0, 4, write, access, order_);
  };
  EXPECT_THAT(note(kWrite, Of(3)), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(kRead, Of(4)), Is(ShadowMemory::kRace));
  EXPECT_THAT(note(kRead, Of(4, 1, 0, /*block=*/1)), Is(ShadowMemory::kUnwritten));
  EXPECT_THAT(note(kWrite, Of(5, 0, 0, 2)), Is(ShadowMemory::kNone));
  EXPECT_THAT(note(kRead, Of(6, 1, 0, 2)), Is(ShadowMemory::kNone));
}

TEST_F(ShadowMemoryTest, TheExampleOfTheHeader) {
  const WorkOrder& order = order_;
  ShadowMemory shadow(256 * sizeof(float), ShadowMemory::kShared);
  Access access;
  access.work = 1;
  access.thread = 1;
  ShadowMemory::Result result = shadow.Note(0, 4, /*write=*/true, access, order);
  access.thread = 2;
  result = shadow.Note(0, 4, /*write=*/false, access, order);
  EXPECT_THAT(result, Is(ShadowMemory::kRace));
}

}  // namespace
}  // namespace emulation
}  // namespace protopage
