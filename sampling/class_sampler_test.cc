#include "protopage/sampling/class_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace protopage {
namespace {

TEST(ClassSampler, TheExampleOfTheHeader) {
  constexpr uint64_t seed = 1;
  constexpr int64_t step = 0;
  const ClassSet with_images = ClassSet::All(50);
  UniformClassSampler sampler(seed, &with_images, /*positive_classes=*/10);
  const std::vector<ClassId> positives = sampler.Draw(step);  // 10 distinct classes
  EXPECT_EQ(std::set<ClassId>(positives.begin(), positives.end()).size(), 10u);
}

TEST(UniformClassSampler, DrawsDistinctMembersEquallyOften) {
  const ClassSet classes = ClassSet::Where(20, [](ClassId id) { return id % 4 != 0; });
  const UniformClassSampler sampler(1, &classes, 5);
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 6000; ++step) {
    const std::vector<ClassId> positives = sampler.Draw(step);
    ASSERT_EQ(std::set<ClassId>(positives.begin(), positives.end()).size(), 5u);
    for (const ClassId id : positives) {
      ASSERT_TRUE(classes.Contains(id)) << id;
      ++drawn[id];
    }
  }
  // Each of 15 classes in a third of the steps; 5 sigma of the binomial is 183.
  ASSERT_EQ(drawn.size(), 15u);
  for (const auto& [id, times] : drawn) EXPECT_NEAR(times, 2000, 183) << id;
}

TEST(ShuffledClassSampler, DrawsEachMemberOnceAnEpochInAnotherOrder) {
  const ClassSet classes = ClassSet::Where(30, [](ClassId id) { return id % 3 != 0; });
  const ShuffledClassSampler sampler(1, &classes, 6);
  // 20 members: epochs of 3 steps, 18 of them.
  std::map<ClassId, int> drawn;
  std::set<std::vector<ClassId>> orders;
  for (int64_t epoch = 0; epoch < 500; ++epoch) {
    std::vector<ClassId> order;
    for (int64_t step = 3 * epoch; step < 3 * epoch + 3; ++step) {
      const std::vector<ClassId> positives = sampler.Draw(step);
      ASSERT_EQ(positives.size(), 6u);
      order.insert(order.end(), positives.begin(), positives.end());
    }
    ASSERT_EQ(std::set<ClassId>(order.begin(), order.end()).size(), 18u);
    for (const ClassId id : order) {
      ASSERT_TRUE(classes.Contains(id)) << id;
      ++drawn[id];
    }
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 500u);
  // Which two stay out is random: each of 20 is drawn 450 times, give or take 5 sigma of 6.7.
  ASSERT_EQ(drawn.size(), 20u);
  for (const auto& [id, times] : drawn) EXPECT_NEAR(times, 450, 34) << id;
}

TEST(PowerLawClassSampler, DrawsTheFrequentClassesByZipfsLaw) {
  const ClassSet classes = ClassSet::Where(2000, [](ClassId id) { return id % 2 != 0; });
  const PowerLawClassSampler sampler(1, &classes, 1);
  std::map<ClassId, int> drawn;
  for (int64_t step = 0; step < 20000; ++step) ++drawn[sampler.Draw(step)[0]];
  std::vector<int> times;
  for (const auto& [id, count] : drawn) {
    ASSERT_TRUE(classes.Contains(id)) << id;
    times.push_back(count);
  }
  std::sort(times.rbegin(), times.rend());
  for (int r = 0; r < 4; ++r) {
    const double expected = 20000 * std::log((r + 2.0) / (r + 1.0)) / std::log(1001.0);
    EXPECT_NEAR(times[r], expected, 5 * std::sqrt(expected)) << r;
  }
  EXPECT_GT(drawn.size(), 900u);
}

template <typename Sampler>
class EveryClassSampler : public ::testing::Test {};
using ClassSamplers =
    ::testing::Types<UniformClassSampler, ShuffledClassSampler, PowerLawClassSampler>;
TYPED_TEST_SUITE(EveryClassSampler, ClassSamplers);

TYPED_TEST(EveryClassSampler, IsAFunctionOfSeedAndStep) {
  const ClassSet classes = ClassSet::All(1000000);
  const TypeParam sampler(1, &classes, 10);
  const std::vector<ClassId> at_7 = sampler.Draw(7);
  EXPECT_NE(sampler.Draw(8), at_7);
  EXPECT_EQ(sampler.Draw(7), at_7);
  EXPECT_EQ(TypeParam(1, &classes, 10).Draw(7), at_7);
  EXPECT_NE(TypeParam(2, &classes, 10).Draw(7), at_7);
}

TYPED_TEST(EveryClassSampler, CanDrawAllClasses) {
  const ClassSet classes = ClassSet::All(6);
  for (const int64_t step : {0, 3}) {
    const std::vector<ClassId> positives = TypeParam(1, &classes, 6).Draw(step);
    EXPECT_EQ(std::set<ClassId>(positives.begin(), positives.end()),
              (std::set<ClassId>{0, 1, 2, 3, 4, 5}));
  }
}

}  // namespace
}  // namespace protopage
