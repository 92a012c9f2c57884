#include "protopage/data/source_type.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const SourceRequest& request);

struct TarConfig {
  std::string index;
  void Fields(ConfigVisitor& v) {
    v.Text("index", &index, {.help = "the list of files", .is_path = true});
  }
};

const SourceType& TarType() {
  static const SourceType type = {
      .name = "tar",
      .help = "image files in tar archives",
      .reads_paths = true,
      .check_split = CheckSplitPath,
      .fields =
          [](SourceSettings& settings, ConfigVisitor& v) {
            v.Object("tar", &settings.options.Mutable<TarConfig>(), "tar: how it is read");
          },
      .open = OpenTar,
  };
  return type;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenTar(const SourceRequest& request) {
  if (request.settings.options.Get<TarConfig>().index.empty()) {
    return absl::InvalidArgumentError("data.tar.index is not set");
  }
  return std::make_unique<FakeSource>(std::vector<ClassId>{0, 1}, 2);
}

TEST(SourceTypeTest, TheExampleOfTheHeader) {
  const SourceType& type = TarType();
  SourceSettings settings;
  const auto read = [&](const nlohmann::json& json) {
    return ReadConfigFields(json, "data", [&](ConfigVisitor& v) { type.fields(settings, v); });
  };
  EXPECT_THAT(read({{"tar", {{"indx", "x"}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, "did you mean data.tar.index?"));
  const OpenOptions options;
  EXPECT_THAT(type.open({settings, Split::kUnseen, nullptr, options}),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.tar.index"));
  PROTOPAGE_ASSERT_OK(read({{"tar", {{"index", "x"}}}}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto source,
                                 type.open({settings, Split::kUnseen, nullptr, options}));
  EXPECT_EQ(source->num_classes(), 2);
  EXPECT_EQ(type.channels, 3);
  EXPECT_EQ(type.augmentation(settings).pad_crop, 4);
}

TEST(SourceTypeTest, APathMustBeSetForItsSplit) {
  SourceSettings settings;
  settings.paths.target_train = "t";
  settings.paths.unseen = "u";
  PROTOPAGE_EXPECT_OK(CheckSplitPath(settings, Split::kTargetTrain));
  PROTOPAGE_EXPECT_OK(CheckSplitPath(settings, Split::kTargetValidation));
  PROTOPAGE_EXPECT_OK(CheckSplitPath(settings, Split::kUnseen));
  EXPECT_THAT(CheckSplitPath(settings, Split::kTargetTest),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "split target_test needs data.paths.target_test"));
  EXPECT_THAT(CheckSplitPath(settings, Split::kSourceValidation),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "split source_validation needs data.paths.source_train"));
}

TEST(SourceTypeTest, ARoleMustHaveClassesForItsSplits) {
  const RoleClassCounts counts = {.source = 0, .target = 5, .unseen = 0};
  EXPECT_EQ(counts.Of(Split::kTargetValidation), 5);
  PROTOPAGE_EXPECT_OK(CheckClassCount("tar", counts, Split::kTargetTest));
  EXPECT_THAT(CheckClassCount("tar", counts, Split::kSourceTest),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "split source_test needs data.tar.source_classes above 0"));
  EXPECT_THAT(CheckClassCount("tar", counts, Split::kUnseen),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.tar.unseen_classes above 0"));
}

}  // namespace
}  // namespace protopage
