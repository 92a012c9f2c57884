#include "protopage/data/source_types.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

TEST(SourceTypesTest, EachIsFoundByItsName) {
  for (const SourceType* type : SourceTypes()) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const SourceType* found, FindSourceType(type->name));
    EXPECT_EQ(found, type);
  }
  EXPECT_THAT(FindSourceType("cifer"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "data.type \"cifer\": allowed are glyphs, cifar, folder, list, synthetic"));
}

// Callers use these members without checking them.
TEST(SourceTypesTest, EachIsComplete) {
  for (const SourceType* type : SourceTypes()) {
    EXPECT_STRNE(type->help, "") << type->name;
    EXPECT_TRUE(type->channels == 1 || type->channels == 3) << type->name;
    EXPECT_NE(type->check_split, nullptr) << type->name;
    EXPECT_NE(type->augmentation, nullptr) << type->name;
    EXPECT_NE(type->open, nullptr) << type->name;
  }
}

// A config has the keys of all types in one object.
TEST(SourceTypesTest, NoTwoHaveTheSameKey) {
  SourceSettings settings;
  std::set<std::string> keys;
  for (const SourceType* type : SourceTypes()) {
    if (type->fields == nullptr) continue;
    const nlohmann::ordered_json json =
        WriteConfigFields([&](ConfigVisitor& v) { type->fields(settings, v); });
    for (const auto& item : json.items()) EXPECT_TRUE(keys.insert(item.key()).second) << item.key();
  }
  for (const char* key : {"glyphs", "data_dir", "source_dataset", "target_dataset", "synthetic"}) {
    EXPECT_EQ(keys.count(key), 1u) << key;
  }
}

// With the defaults, a type either has a split or names the key that it needs.
TEST(SourceTypesTest, ASplitThatIsMissingNamesAKey) {
  const SourceSettings settings;
  for (const SourceType* type : SourceTypes()) {
    for (const Split split : {Split::kSourceTrain, Split::kTargetTest, Split::kUnseen}) {
      const absl::Status status = type->check_split(settings, split);
      if (status.ok()) continue;
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, "data."));
    }
  }
}

}  // namespace
}  // namespace protopage
