#include "protopage/data/subset_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "protopage/data/class_images.h"
#include "protopage/data/fake_source.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

// 20 classes of 50 images, interleaved.
FakeSource TwentyClasses() {
  std::vector<ClassId> labels;
  for (int i = 0; i < 1000; ++i) labels.push_back(i % 20);
  return FakeSource(labels, 20, 1, 1, 1);
}

TEST(SubsetSourceTest, ShowsTheRecordsChosen) {
  auto source = std::make_shared<FakeSource>(TwentyClasses());
  const auto subset = MakeSubset(source, {3, 41}, "held out");
  EXPECT_EQ(subset->size(), 2);
  EXPECT_EQ(subset->num_classes(), 20);
  EXPECT_EQ(subset->Label(1), 1);
  EXPECT_EQ(subset->RecordName(1), "fake-41");
  EXPECT_EQ(subset->ClassName(1), "class 1");
  Image expected;
  Image image;
  ASSERT_TRUE(source->Read(41, &expected).ok());
  ASSERT_TRUE(subset->Read(1, &image).ok());
  EXPECT_EQ(image.pixels, expected.pixels);
}

TEST(ChooseHeldOutTest, TakesTheShareOfEveryClass) {
  const FakeSource source = TwentyClasses();
  const std::vector<uint32_t> held_out = ChooseHeldOut(source, 0.1, 1);
  EXPECT_EQ(held_out.size(), 100u);
  std::vector<int> counts(20);
  for (uint32_t record : held_out) ++counts[source.Label(record)];
  for (int count : counts) EXPECT_EQ(count, 5);
  EXPECT_TRUE(std::is_sorted(held_out.begin(), held_out.end()));
  EXPECT_EQ(ChooseHeldOut(source, 0.1, 1), held_out);
  EXPECT_NE(ChooseHeldOut(source, 0.1, 2), held_out);
}

TEST(ChooseHeldOutTest, FractionsOfAnImageAddUpOverTheClasses) {
  std::vector<ClassId> labels;
  for (int c = 0; c < 1000; ++c) labels.insert(labels.end(), 4, c);
  const FakeSource source(labels, 1000);
  // The expectation is 0.4 images per class; five standard deviations of the binomial are 77.
  EXPECT_NEAR(ChooseHeldOut(source, 0.1, 1).size(), 400, 77);
}

TEST(ChooseHeldOutTest, NeverTakesTheLastImageNorAnId) {
  const FakeSource single({0, 1, 2}, 3);
  EXPECT_TRUE(ChooseHeldOut(single, 0.9, 1).empty());
  FakeSource bisample({0, 0, 1, 1, 1}, 2);
  bisample.names = {"id", "spot"};
  bisample.set_domains({0, 1, 1, 0, 1});
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (uint32_t record : ChooseHeldOut(bisample, 0.9, seed)) {
      EXPECT_EQ(bisample.Domain(record), 1);
    }
  }
}

TEST(ComplementTest, HoldsTheRest) {
  EXPECT_THAT(Complement(5, {1, 4}), ElementsAre(0, 2, 3));
  EXPECT_THAT(Complement(2, {}), ElementsAre(0, 1));
}

}  // namespace
}  // namespace protopage
