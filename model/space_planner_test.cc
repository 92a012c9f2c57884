#include "protopage/model/space_planner.h"

#include <gtest/gtest.h>

#include <vector>

#include "protopage/base/random.h"

namespace protopage {
namespace {

TEST(SpacePlannerTest, TheExampleOfTheHeader) {
  SpacePlanner space;
  const int a = space.Add(/*begin=*/0, /*end=*/1, /*size=*/64);
  const int b = space.Add(/*begin=*/1, /*end=*/2, /*size=*/64);
  const int c = space.Add(/*begin=*/2, /*end=*/3, /*size=*/64);
  space.Place();
  EXPECT_EQ(space.offset(a), space.offset(c));  // Never in use together.
  EXPECT_EQ(space.total(), 128);
  EXPECT_NE(space.offset(a), space.offset(b));
}

TEST(SpacePlannerTest, PiecesInUseTogetherNeverOverlap) {
  RandomStream random(/*seed=*/1, RandomPurpose::kTest, 0);
  struct Piece {
    int begin, end;
    int64_t size;
  };
  std::vector<Piece> pieces;
  SpacePlanner space;
  int64_t sum = 0;
  for (int i = 0; i < 200; ++i) {
    const int begin = static_cast<int>(random.Uniform(0.0f, 50.0f));
    const int end = begin + static_cast<int>(random.Uniform(0.0f, 10.0f));
    const int64_t size = 1 + static_cast<int64_t>(random.Uniform(0.0f, 1000.0f));
    pieces.push_back({begin, end, size});
    EXPECT_EQ(space.Add(begin, end, size), i);
    sum += size;
  }
  space.Place();
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t first = space.offset(static_cast<int>(i));
    EXPECT_EQ(first % SpacePlanner::kAlignment, 0);
    EXPECT_LE(first + pieces[i].size, space.total());
    for (size_t j = 0; j < i; ++j) {
      if (pieces[i].end < pieces[j].begin || pieces[j].end < pieces[i].begin) continue;
      const int64_t other = space.offset(static_cast<int>(j));
      EXPECT_TRUE(first + pieces[i].size <= other || other + pieces[j].size <= first)
          << i << " and " << j;
    }
  }
  EXPECT_LT(space.total(), sum / 2);
}

}  // namespace
}  // namespace protopage
