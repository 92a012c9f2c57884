#include "sampling/class_sampler.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace protopage {
namespace {

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

TEST(UniformClassSampler, IsAFunctionOfSeedAndStep) {
  const ClassSet classes = ClassSet::All(1000000);
  const UniformClassSampler sampler(1, &classes, 10);
  const std::vector<ClassId> at_7 = sampler.Draw(7);
  EXPECT_NE(sampler.Draw(8), at_7);
  EXPECT_EQ(sampler.Draw(7), at_7);
  EXPECT_EQ(UniformClassSampler(1, &classes, 10).Draw(7), at_7);
  EXPECT_NE(UniformClassSampler(2, &classes, 10).Draw(7), at_7);
}

TEST(UniformClassSampler, CanDrawAllClasses) {
  const ClassSet classes = ClassSet::All(6);
  const std::vector<ClassId> positives = UniformClassSampler(1, &classes, 6).Draw(0);
  EXPECT_EQ(std::set<ClassId>(positives.begin(), positives.end()),
            (std::set<ClassId>{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace protopage
