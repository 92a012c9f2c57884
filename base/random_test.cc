#include "protopage/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace protopage {
namespace {

// The known-answer vectors of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(PhiloxTest, MatchesKnownAnswers) {
  const PhiloxBlock zero = Philox4x32(0, 0, 0);
  EXPECT_EQ(zero.word[0], 0x6627e8d5u);
  EXPECT_EQ(zero.word[1], 0xe169c58du);
  EXPECT_EQ(zero.word[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.word[3], 0x9b00dbd8u);
  const PhiloxBlock ones = Philox4x32(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0});
  EXPECT_EQ(ones.word[0], 0x408f276du);
  EXPECT_EQ(ones.word[1], 0x41c83b0eu);
  EXPECT_EQ(ones.word[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.word[3], 0x6d5451fdu);
}

TEST(PhiloxTest, UnitFloatStaysBelowOne) {
  EXPECT_EQ(UnitFloat(0), 0.0f);
  EXPECT_LT(UnitFloat(~uint32_t{0}), 1.0f);
}

TEST(RandomStreamTest, TheExampleOfTheHeader) {
  const uint64_t seed = 1, step = 2;
  const uint32_t image = 3;
  RandomStream random(seed, RandomPurpose::kAugment, step, image);
  const bool flip = random.Below(2) == 1;
  const float angle = random.Uniform(-10.0f, 10.0f);
  EXPECT_TRUE(flip || !flip);
  EXPECT_GE(angle, -10.0f);
  EXPECT_LT(angle, 10.0f);
}

TEST(RandomStreamTest, SameKeySameNumbersOtherKeyOthers) {
  RandomStream a(1, RandomPurpose::kTest, 2, 3);
  RandomStream same(1, RandomPurpose::kTest, 2, 3);
  RandomStream other_seed(2, RandomPurpose::kTest, 2, 3);
  RandomStream other_purpose(1, RandomPurpose::kAugment, 2, 3);
  RandomStream other_a(1, RandomPurpose::kTest, 3, 3);
  RandomStream other_b(1, RandomPurpose::kTest, 2, 4);
  std::set<uint64_t> values;
  const uint64_t first = a.Next64();
  EXPECT_EQ(first, same.Next64());
  values.insert(
      {first, other_seed.Next64(), other_purpose.Next64(), other_a.Next64(), other_b.Next64()});
  EXPECT_EQ(values.size(), 5u);
}

TEST(RandomStreamTest, MomentsOfUniformAndNormal) {
  RandomStream random(7, RandomPurpose::kTest, 0);
  const int n = 200000;
  double uniform = 0, normal = 0, square = 0;
  for (int i = 0; i < n; ++i) {
    uniform += random.Uniform();
    const double x = random.Normal();
    normal += x;
    square += x * x;
  }
  // Five standard errors: 5 / sqrt(12 n), 5 / sqrt(n), 5 sqrt(2 / n).
  EXPECT_NEAR(uniform / n, 0.5, 5 / std::sqrt(12.0 * n));
  EXPECT_NEAR(normal / n, 0.0, 5 / std::sqrt(1.0 * n));
  EXPECT_NEAR(square / n, 1.0, 5 * std::sqrt(2.0 / n));
}

TEST(SampleWithoutReplacementTest, IsDistinctAndInRange) {
  RandomStream random(1, RandomPurpose::kTest, 0);
  for (const int64_t n : {int64_t{1}, int64_t{7}, int64_t{100}, int64_t{1} << 40}) {
    const int64_t count = std::min<int64_t>(n, 50);
    const std::vector<int64_t> sample = SampleWithoutReplacement(random, n, count);
    const std::set<int64_t> distinct(sample.begin(), sample.end());
    EXPECT_EQ(static_cast<int64_t>(distinct.size()), count);
    EXPECT_GE(*distinct.begin(), 0);
    EXPECT_LT(*distinct.rbegin(), n);
  }
}

TEST(SampleWithoutReplacementTest, EveryPlaceGetsEveryValueEquallyOften) {
  const int n = 5, count = 3, runs = 50000;
  std::vector<std::vector<int>> seen(count, std::vector<int>(n, 0));
  for (int run = 0; run < runs; ++run) {
    RandomStream random(3, RandomPurpose::kTest, run);
    const std::vector<int64_t> sample = SampleWithoutReplacement(random, n, count);
    for (int place = 0; place < count; ++place) ++seen[place][sample[place]];
  }
  const double expected = 1.0 * runs / n;
  for (int place = 0; place < count; ++place) {
    for (int value = 0; value < n; ++value) {
      EXPECT_NEAR(seen[place][value], expected, 5 * std::sqrt(expected))
          << "place " << place << " value " << value;
    }
  }
}

}  // namespace
}  // namespace protopage
