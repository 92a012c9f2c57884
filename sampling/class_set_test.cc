#include "protopage/sampling/class_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "protopage/base/random.h"

namespace protopage {
namespace {

using ::testing::UnorderedElementsAre;

// Every query against a plain list of the members.
void ExpectMembers(const ClassSet& set, int64_t num_classes, const std::vector<ClassId>& members) {
  ASSERT_EQ(set.num_classes(), num_classes);
  ASSERT_EQ(set.size(), static_cast<int64_t>(members.size()));
  int64_t rank = 0;
  for (ClassId id = 0; id < num_classes; ++id) {
    const bool member = std::binary_search(members.begin(), members.end(), id);
    ASSERT_EQ(set.Contains(id), member) << id;
    ASSERT_EQ(set.Rank(id), rank) << id;
    if (member) {
      ASSERT_EQ(set.Member(rank), id);
      ++rank;
    }
  }
  EXPECT_EQ(set.Rank(num_classes), rank);
  EXPECT_FALSE(set.Contains(-1));
  EXPECT_FALSE(set.Contains(num_classes));
}

TEST(ClassSet, TheExampleOfTheHeader) {
  constexpr int64_t n = 100;
  std::vector<int64_t> count(n, 3);
  count[5] = 0;
  RandomStream random(1, RandomPurpose::kTest, 0);
  const ClassSet with_images = ClassSet::Where(n, [&](ClassId c) { return count[c] > 0; });
  const ClassId c = with_images.Member(random.Below(with_images.size()));
  const std::vector<ClassId> more = SampleMembers(random, with_images, 20, /*excluded=*/{c});
  const std::set<ClassId> distinct(more.begin(), more.end());
  EXPECT_EQ(distinct.size(), 20u);
  EXPECT_EQ(distinct.count(c) + distinct.count(5), 0u);
}

TEST(ClassSet, AllHoldsEveryClass) {
  ExpectMembers(ClassSet::All(0), 0, {});
  ExpectMembers(ClassSet::All(3), 3, {0, 1, 2});
}

TEST(ClassSet, WhereHoldsTheClassesOfThePredicate) {
  // Around the borders of words (64) and blocks (512), sparse and dense, with empty blocks.
  for (const int64_t n : {0, 1, 63, 64, 65, 511, 512, 513, 2000}) {
    for (const int64_t keep_of_1000 : {0, 3, 500, 997, 1000}) {
      RandomStream random(1, RandomPurpose::kTest, n, keep_of_1000);
      std::vector<ClassId> members;
      for (ClassId id = 0; id < n; ++id) {
        if (static_cast<int64_t>(random.Below(1000)) < keep_of_1000) members.push_back(id);
      }
      const ClassSet set = ClassSet::Where(
          n, [&](ClassId id) { return std::binary_search(members.begin(), members.end(), id); });
      ExpectMembers(set, n, members);
    }
  }
}

TEST(SampleMembers, TakesAllThatAreLeftAndNothingElse) {
  const ClassSet odd = ClassSet::Where(12, [](ClassId id) { return id % 2 == 1; });
  RandomStream random(1, RandomPurpose::kTest, 0);
  // 4 is no member, 3 is repeated, -1 and 100 are no classes.
  EXPECT_THAT(SampleMembers(random, odd, 4, {3, 4, 3, 9, -1, 100}),
              UnorderedElementsAre(1, 5, 7, 11));
}

TEST(SampleMembers, EveryClassLeftIsEquallyLikely) {
  const ClassSet set = ClassSet::Where(10, [](ClassId id) { return id != 4; });
  std::map<ClassId, int> first;
  std::map<ClassId, int> drawn;
  constexpr int kDraws = 12000;
  for (int i = 0; i < kDraws; ++i) {
    RandomStream random(2, RandomPurpose::kTest, i);
    const std::vector<ClassId> sample = SampleMembers(random, set, 3, {0, 9, 5});
    EXPECT_EQ(std::set<ClassId>(sample.begin(), sample.end()).size(), 3u);
    ++first[sample[0]];
    for (const ClassId id : sample) ++drawn[id];
  }
  // 6 classes are left: 1, 2, 3, 6, 7, 8. Binomial deviation 5 sigma: 204 of 2000, 274 of 6000.
  ASSERT_EQ(drawn.size(), 6u);
  for (const ClassId id : {1, 2, 3, 6, 7, 8}) {
    EXPECT_NEAR(first[id], kDraws / 6, 204) << id;
    EXPECT_NEAR(drawn[id], kDraws / 2, 274) << id;
  }
}

TEST(SampleMembers, CostsNothingOfTheNumberOfClasses) {
  const ClassSet set = ClassSet::All(int64_t{1} << 60);
  RandomStream random(1, RandomPurpose::kTest, 0);
  std::vector<ClassId> excluded = {0, 1, 2, int64_t{1} << 59};
  EXPECT_EQ(SampleMembers(random, set, 1000, excluded).size(), 1000u);
}

}  // namespace
}  // namespace protopage
