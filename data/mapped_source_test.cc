#include "protopage/data/mapped_source.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/data/class_images.h"
#include "protopage/data/fake_source.h"
#include "protopage/data/synthetic_source.h"

namespace protopage {
namespace {

std::string Name(ClassId label) { return absl::StrCat("new ", label); }

std::shared_ptr<const ImageSource> Mapped(std::vector<ClassId> labels, int64_t classes,
                                          int64_t new_classes, std::vector<uint32_t> new_labels) {
  ClassMapping mapping;
  mapping.num_classes = new_classes;
  mapping.labels = std::move(new_labels);
  return MapClasses(std::make_shared<FakeSource>(std::move(labels), classes),
                    std::make_shared<ClassMapping>(mapping), Name);
}

// "record label" of each record.
std::vector<std::string> Records(const ImageSource& source) {
  std::vector<std::string> records;
  for (int64_t r = 0; r < source.size(); ++r) {
    records.push_back(absl::StrCat(source.RecordName(r), " ", source.Label(r)));
  }
  return records;
}

TEST(MappedSourceTest, HeaderExample) {
  std::shared_ptr<const ImageSource> source =
      std::make_shared<FakeSource>(std::vector<ClassId>{0, 1, 2}, 3);
  const auto name = Name;
  ClassMapping mapping;
  mapping.num_classes = 3;
  mapping.labels = {2, 0, ClassMapping::kLeftOut};  // Of classes 0, 1 and 2 of the source.
  source = MapClasses(source, std::make_shared<ClassMapping>(mapping), name);
  EXPECT_EQ(Records(*source), (std::vector<std::string>{"fake-1 0", "fake-0 2"}));
}

TEST(MappedSourceTest, OrderedRecordsStayOrdered) {
  const auto source = Mapped({0, 0, 1, 1, 2}, 3, 3, {1, 2, 0});
  EXPECT_EQ(Records(*source),
            (std::vector<std::string>{"fake-4 0", "fake-0 1", "fake-1 1", "fake-2 2", "fake-3 2"}));
  EXPECT_EQ(source->ClassName(1), "new 1");
  EXPECT_EQ(source->Description(), "fake");
}

TEST(MappedSourceTest, OthersStayInTheirPlaces) {
  const auto source = Mapped({2, 0, 1, 0}, 3, 3, {1, 2, 0});
  EXPECT_EQ(Records(*source),
            (std::vector<std::string>{"fake-0 0", "fake-1 1", "fake-2 2", "fake-3 1"}));
}

TEST(MappedSourceTest, LeavesClassesOutAndMayHaveOthersWithoutImages) {
  const auto source = Mapped({0, 1, 1, 2}, 3, 5, {4, ClassMapping::kLeftOut, 1});
  EXPECT_EQ(source->num_classes(), 5);
  EXPECT_EQ(Records(*source), (std::vector<std::string>{"fake-3 1", "fake-0 4"}));
  EXPECT_EQ(source->Description(), "fake; 2 of them of the 5 known classes");
  const ClassImages images(*source);
  EXPECT_EQ(images.Count(0), 0);
  EXPECT_EQ(images.Count(4), 1);
}

TEST(MappedSourceTest, WithoutATableClassesKeepTheirLabels) {
  EXPECT_EQ(Records(*Mapped({0, 1, 2}, 3, 2, {})),
            (std::vector<std::string>{"fake-0 0", "fake-1 1"}));
  SyntheticOptions options;
  options.num_classes = 100'000'000;
  options.images_per_class = 3;
  ClassMapping mapping;
  mapping.num_classes = 100;
  const std::shared_ptr<const ImageSource> computed = MakeSyntheticSource(options);
  const auto fewer = MapClasses(computed, std::make_shared<ClassMapping>(mapping), Name);
  EXPECT_EQ(fewer->size(), 300);
  EXPECT_EQ(fewer->records_per_class(), 3);
  EXPECT_EQ(fewer->Label(299), 99);
  mapping.num_classes = 200'000'000;
  const auto more = MapClasses(computed, std::make_shared<ClassMapping>(mapping), Name);
  EXPECT_EQ(more->size(), 300'000'000);
  EXPECT_EQ(more->records_per_class(), 0);  // The last classes have none.
}

}  // namespace
}  // namespace protopage
