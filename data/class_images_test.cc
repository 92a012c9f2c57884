#include "protopage/data/class_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
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

TEST(ClassImagesTest, TheExampleOfTheHeader) {
  auto source = std::make_unique<FakeSource>(std::vector<ClassId>{0, 1, 1, 0}, 2);
  source->names = {"id", "spot"};
  source->set_domains({0, 1, 0, 1});
  RandomStream random(1, RandomPurpose::kTest, 0);
  const ClassId label = 1;
  const ClassImages images(*source);
  const int64_t record = images.Record(label, random.Below(images.Count(label)));
  const ClassImages ids(*source, FindDomain(*source, "id"));  // Of one domain only.
  EXPECT_EQ(source->Label(record), label);
  EXPECT_THAT(RecordsOf(ids, 1), ElementsAre(2));
}

absl::Status ReadAll(const std::unique_ptr<ImageSource>& source,
                     const std::function<void(const Image&, ClassId, int)>& Use) {
  Image image;
  for (int64_t record = 0; record < source->size(); ++record) {
    PROTOPAGE_RETURN_IF_ERROR(source->Read(record, &image));
    Use(image, source->Label(record), source->Domain(record));
  }
  return absl::OkStatus();
}

TEST(ImageSourceTest, TheExampleOfTheHeader) {
  std::vector<ClassId> labels;
  PROTOPAGE_EXPECT_OK(ReadAll(std::make_unique<FakeSource>(std::vector<ClassId>{1, 0}, 2),
                              [&](const Image& image, ClassId label, int domain) {
                                EXPECT_GT(image.bytes(), 0);
                                EXPECT_EQ(domain, 0);
                                labels.push_back(label);
                              }));
  EXPECT_THAT(labels, ElementsAre(1, 0));
}

}  // namespace
}  // namespace protopage
