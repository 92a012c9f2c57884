#include "protopage/base/best_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "protopage/base/random.h"

namespace protopage {
namespace {

template <typename Id>
std::vector<Id> Ids(const std::vector<Scored<Id>>& items) {
  std::vector<Id> ids;
  for (const Scored<Id>& item : items) ids.push_back(item.id);
  return ids;
}

TEST(BestScoresTest, TheExampleOfTheHeader) {
  BestScores<int64_t> best(/*limit=*/2);
  best.Add(0.5f, 7);
  best.Add(0.9f, 4);
  best.Add(0.5f, 3);
  const std::vector<Scored<int64_t>> top = best.TakeSorted();  // Ids 4 and 3.
  EXPECT_EQ(Ids(top), (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(top[0].score, 0.9f);
  EXPECT_EQ(top[1].score, 0.5f);
}

TEST(BestScoresTest, AgreesWithSortingAllInAnyOrderOfAdditions) {
  for (const int64_t n : {0, 1, 9, 10, 11, 500}) {
    for (const int64_t limit : {1, 2, 10, 600}) {
      // Few different scores: most of them tie.
      RandomStream random(1, RandomPurpose::kTest, n, limit);
      std::vector<Scored<int32_t>> items;
      for (int32_t id = 0; id < n; ++id) {
        items.push_back({static_cast<float>(random.Below(8)) - 4, id});
      }
      std::vector<Scored<int32_t>> want = items;
      std::stable_sort(want.begin(), want.end(),
                       [](const auto& a, const auto& b) { return a.score > b.score; });
      want.resize(std::min(n, limit));
      for (const std::vector<int64_t>& order :
           {SampleWithoutReplacement(random, n, n), SampleWithoutReplacement(random, n, n)}) {
        BestScores<int32_t> best(limit);
        for (const int64_t i : order) best.Add(items[i].score, items[i].id);
        const std::vector<Scored<int32_t>> found = best.TakeSorted();
        EXPECT_EQ(Ids(found), Ids(want)) << n << " " << limit;
      }
    }
  }
}

TEST(BestScoresTest, ARangeIsAddedAsItsItemsAre) {
  for (const int64_t limit : {1, 3, 40}) {
    std::vector<float> scores(200);
    RandomStream random(1, RandomPurpose::kTest, limit);
    for (float& score : scores) score = static_cast<float>(random.Below(8)) - 4;
    scores[7] = std::numeric_limits<float>::quiet_NaN();
    BestScores<int64_t> one_by_one(limit), by_ranges(limit);
    for (int64_t i = 0; i < 200; ++i) {
      if (i % 3 != 0) one_by_one.Add(scores[i], 1000 + i);
    }
    const auto keep = [](int64_t id) { return (id - 1000) % 3 != 0; };
    by_ranges.AddRange(scores.data() + 150, 50, 1150, keep);
    by_ranges.AddRange(scores.data(), 150, 1000, keep);
    EXPECT_EQ(Ids(by_ranges.TakeSorted()), Ids(one_by_one.TakeSorted()));
  }
}

TEST(BestScoresTest, AsksOnlyForItemsThatAreGoodEnough) {
  BestScores<int64_t> best(1);
  const float scores[] = {-1, -2, -2, -3, 5};
  std::vector<int64_t> asked;
  best.AddRange(scores, 5, 0, [&](int64_t id) {
    asked.push_back(id);
    return true;
  });
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 1, 4}));  // Two are the most that are held.
}

TEST(BestScoresTest, IgnoresNan) {
  BestScores<int64_t> best(3);
  best.Add(std::numeric_limits<float>::quiet_NaN(), 1);
  best.Add(-std::numeric_limits<float>::infinity(), 2);
  EXPECT_EQ(Ids(best.TakeSorted()), (std::vector<int64_t>{2}));
}

TEST(BestScoresTest, IsEmptyAfterTakeAndCanBeUsedAgain) {
  BestScores<int64_t> best(1);
  for (int64_t id = 0; id < 5; ++id) best.Add(9, id);
  EXPECT_EQ(Ids(best.Take()), (std::vector<int64_t>{0}));
  EXPECT_TRUE(best.Take().empty());
  best.Add(-9, 3);
  EXPECT_EQ(Ids(best.Take()), (std::vector<int64_t>{3}));
}

}  // namespace
}  // namespace protopage
