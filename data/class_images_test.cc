#include "protopage/data/class_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protopage/data/fake_source.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int64_t> RecordsOf(const ClassImages& images, ClassId label) {
  std::vector<int64_t> records;
  for (int64_t i = 0; i < images.Count(label); ++i) records.push_back(images.Record(label, i));
  return records;
}

TEST(ClassImagesTest, RecordsOfAClassAscend) {
  const FakeSource source({2, 0, 2, 3, 0, 2}, 5);
  const ClassImages images(source);
  EXPECT_EQ(images.num_classes(), 5);
  EXPECT_EQ(images.size(), 6);
  EXPECT_THAT(RecordsOf(images, 0), ElementsAre(1, 4));
  EXPECT_THAT(RecordsOf(images, 1), IsEmpty());
  EXPECT_THAT(RecordsOf(images, 2), ElementsAre(0, 2, 5));
  EXPECT_THAT(RecordsOf(images, 3), ElementsAre(3));
  EXPECT_THAT(RecordsOf(images, 4), IsEmpty());
}

TEST(ClassImagesTest, KeepsToOneDomain) {
  FakeSource source({0, 0, 1, 1}, 2);
  source.names = {"id", "spot"};
  source.set_domains({0, 1, 1, 0});
  const ClassImages ids(source, FindDomain(source, "id"));
  EXPECT_THAT(RecordsOf(ids, 0), ElementsAre(0));
  EXPECT_THAT(RecordsOf(ids, 1), ElementsAre(3));
  EXPECT_EQ(FindDomain(source, "photo"), -1);
}

TEST(ClassImagesTest, AnEmptySourceHasNoRecords) {
  const ClassImages images(FakeSource({}, 3));
  EXPECT_EQ(images.size(), 0);
  EXPECT_EQ(images.Count(2), 0);
}

}  // namespace
}  // namespace protopage
