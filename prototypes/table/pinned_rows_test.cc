#include "protopage/prototypes/table/pinned_rows.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace protopage {
namespace {

// Counts the pins of its frames.
class CountingPinner : public RowPinner {
 public:
  PinnedRows Pin(std::vector<int32_t> frames) {
    for (const int32_t frame : frames) ++pins_[frame];
    return PinnedRows(this, std::move(frames));
  }
  int pins(int32_t frame) { return pins_[frame]; }

 private:
  void Unpin(absl::Span<const int32_t> frames) override {
    for (const int32_t frame : frames) --pins_[frame];
  }

  std::map<int32_t, int> pins_;
};

TEST(PinnedRowsTest, DestructionReleasesEachPinOnce) {
  CountingPinner pinner;
  const PinnedRows longer = pinner.Pin({1, 2});
  {
    const PinnedRows pinned = pinner.Pin({2, 3, 3});
    EXPECT_EQ(pinned.size(), 3u);
    EXPECT_EQ(pinner.pins(2), 2);
    EXPECT_EQ(pinner.pins(3), 2);
  }
  EXPECT_EQ(pinner.pins(1), 1);
  EXPECT_EQ(pinner.pins(2), 1);
  EXPECT_EQ(pinner.pins(3), 0);
}

TEST(PinnedRowsTest, AMoveTakesThePinsAlong) {
  CountingPinner pinner;
  PinnedRows outer;
  EXPECT_TRUE(outer.empty());
  {
    PinnedRows inner = pinner.Pin({5});
    PinnedRows moved(std::move(inner));
    EXPECT_TRUE(inner.empty());
    outer = std::move(moved);
    EXPECT_TRUE(moved.empty());
  }
  EXPECT_EQ(pinner.pins(5), 1);
  outer = pinner.Pin({6});  // Releases what it held.
  EXPECT_EQ(pinner.pins(5), 0);
  EXPECT_EQ(pinner.pins(6), 1);
}

TEST(PinnedRowsTest, ReleaseIsIdempotent) {
  CountingPinner pinner;
  PinnedRows pinned = pinner.Pin({7});
  pinned.Release();
  EXPECT_EQ(pinner.pins(7), 0);
  EXPECT_TRUE(pinned.empty());
  pinned.Release();
  EXPECT_EQ(pinner.pins(7), 0);
}

}  // namespace
}  // namespace protopage
