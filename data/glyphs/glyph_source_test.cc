#include "protopage/data/glyphs/glyph_source.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr GlyphSplit kAll[] = {GlyphSplit::kSourceTrain, GlyphSplit::kSourceTest,
                               GlyphSplit::kTargetTrain, GlyphSplit::kTargetTest,
                               GlyphSplit::kUnseen};

class GlyphSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // The smaller fonts, as the name of the cache is a hash of their contents.
    config_.id_font = "zenhei=truetype/wqy/wqy-zenhei.ttc";
    config_.train_fonts = {"droid=truetype/droid/DroidSansFallbackFull.ttf",
                           "seto=truetype/seto/setofont.ttf"};
    config_.held_out_fonts = {"ukai=truetype/arphic/ukai.ttc",
                              "kouzan=truetype/kouzan-mouhitsu/kouzan-mouhitsu.ttf"};
    config_.min_lineages = 1;
    config_.source_classes = 3;
    config_.source_samples = 9;
    config_.target_classes = 5;
    config_.target_spots = 3;
    config_.unseen_classes = 4;
    config_.test_spots = 2;
    config_.cache_dir = JoinPath(::testing::TempDir(),
                                 ::testing::UnitTest::GetInstance()->current_test_info()->name());
  }

  std::unique_ptr<ImageSource> Open(GlyphSplit split, int threads = 2) {
    GlyphOptions options;
    options.threads = threads;
    options.progress = [this](absl::string_view, int64_t, int64_t) { ++progress_; };
    absl::StatusOr<std::unique_ptr<ImageSource>> source = OpenGlyphs(config_, 24, split, options);
    PROTOPAGE_EXPECT_OK(source);
    return source.ok() ? *std::move(source) : nullptr;
  }

  static std::vector<uint8_t> Pixels(const ImageSource& source) {
    std::vector<uint8_t> all;
    Image image;
    for (int64_t record = 0; record < source.size(); ++record) {
      PROTOPAGE_EXPECT_OK(source.Read(record, &image));
      EXPECT_EQ(image.bytes(), 24 * 24);
      all.insert(all.end(), image.pixels.begin(), image.pixels.end());
    }
    return all;
  }

  GlyphConfig config_;
  int progress_ = 0;
};

TEST_F(GlyphSourceTest, SplitsHaveTheClassesAndDomainsPromised) {
  const struct {
    GlyphSplit split;
    int64_t classes;
    int64_t ids;
    int64_t spots;
  } kExpected[] = {
      {GlyphSplit::kSourceTrain, 3, 1, 8}, {GlyphSplit::kSourceTest, 3, 0, 2},
      {GlyphSplit::kTargetTrain, 5, 1, 3}, {GlyphSplit::kTargetTest, 5, 0, 2},
      {GlyphSplit::kUnseen, 4, 1, 2},
  };
  for (const auto& expected : kExpected) {
    const auto source = Open(expected.split);
    ASSERT_NE(source, nullptr);
    EXPECT_EQ(source->num_classes(), expected.classes);
    EXPECT_EQ(source->size(), expected.classes * (expected.ids + expected.spots));
    std::map<ClassId, std::vector<int64_t>> counts;
    for (int64_t r = 0; r < source->size(); ++r) {
      std::vector<int64_t>& c = counts[source->Label(r)];
      c.resize(2);
      ++c[source->Domain(r)];
    }
    for (const auto& [label, c] : counts) {
      EXPECT_EQ(c, (std::vector<int64_t>{expected.ids, expected.spots})) << label;
    }
    EXPECT_EQ(FindDomain(*source, "id"), 0);
    EXPECT_EQ(FindDomain(*source, "spot"), 1);
  }
}

TEST_F(GlyphSourceTest, ClassSetsAreDisjointAndTestClassesAreTheTrainingClasses) {
  auto names = [&](GlyphSplit split) {
    const auto source = Open(split);
    std::vector<std::string> names;
    for (ClassId c = 0; c < source->num_classes(); ++c) names.push_back(source->ClassName(c));
    return names;
  };
  const auto source = names(GlyphSplit::kSourceTrain);
  const auto target = names(GlyphSplit::kTargetTrain);
  const auto unseen = names(GlyphSplit::kUnseen);
  EXPECT_EQ(names(GlyphSplit::kSourceTest), source);
  EXPECT_EQ(names(GlyphSplit::kTargetTest), target);
  std::set<std::string> all(source.begin(), source.end());
  all.insert(target.begin(), target.end());
  all.insert(unseen.begin(), unseen.end());
  EXPECT_EQ(all.size(), source.size() + target.size() + unseen.size());
}

// The lineage after "in": "U+4E00 spot in wenkai".
TEST_F(GlyphSourceTest, HeldOutLineagesAppearInEvaluationOnly) {
  config_.source_samples = 40;
  config_.target_classes = 30;
  const std::set<std::string> held_out = {"ukai", "kouzan"};
  for (GlyphSplit split : kAll) {
    const bool test = split == GlyphSplit::kSourceTest || split == GlyphSplit::kTargetTest ||
                      split == GlyphSplit::kUnseen;
    const auto source = Open(split);
    std::set<std::string> spots;
    for (int64_t r = 0; r < source->size(); ++r) {
      const std::string name = source->RecordName(r);
      const std::string lineage = name.substr(name.find(" in ") + 4);
      if (source->Domain(r) == 0) {
        EXPECT_EQ(lineage, "zenhei");
      } else {
        spots.insert(lineage);
        EXPECT_EQ(held_out.count(lineage), test ? 1u : 0u) << name;
      }
    }
    EXPECT_EQ(spots.size(), 2u);
  }
}

TEST_F(GlyphSourceTest, TrainingAndEvaluationShareNoImage) {
  std::set<std::vector<uint8_t>> images;
  int64_t count = 0;
  for (GlyphSplit split : kAll) {
    const auto source = Open(split);
    Image image;
    for (int64_t r = 0; r < source->size(); ++r, ++count) {
      PROTOPAGE_ASSERT_OK(source->Read(r, &image));
      images.insert(image.pixels);
    }
  }
  EXPECT_EQ(static_cast<int64_t>(images.size()), count);
}

TEST_F(GlyphSourceTest, SameBitsFreshCachedAndWithAnyNumberOfThreads) {
  for (GlyphSplit split : kAll) {
    config_.cache_dir += "x";  // So that each split is rendered.
    progress_ = 0;
    const auto fresh = Pixels(*Open(split, 1));
    EXPECT_GT(progress_, 0);
    progress_ = 0;
    EXPECT_EQ(Pixels(*Open(split)), fresh);
    EXPECT_EQ(progress_, 0) << "read from the cache";
    config_.cache_dir += "y";
    EXPECT_EQ(Pixels(*Open(split, 3)), fresh);
    EXPECT_GT(progress_, 0);
  }
}

TEST_F(GlyphSourceTest, DamagedCacheIsRenderedAgain) {
  const auto fresh = Pixels(*Open(GlyphSplit::kTargetTrain));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string path, GlyphCachePath(config_, 24));
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(fs, path));
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  for (const std::string& bad : {flipped, good.substr(0, good.size() / 2), std::string("short"),
                                 std::string(), good + "more"}) {
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs, path, bad));
    progress_ = 0;
    EXPECT_EQ(Pixels(*Open(GlyphSplit::kTargetTrain)), fresh);
    EXPECT_GT(progress_, 0);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string repaired, ReadFile(fs, path));
    EXPECT_TRUE(repaired == good);
  }
}

TEST_F(GlyphSourceTest, EverySettingHasItsOwnCacheFile) {
  std::set<std::string> paths;
  auto add = [&](const GlyphConfig& config, int size) {
    absl::StatusOr<std::string> path = GlyphCachePath(config, size);
    PROTOPAGE_ASSERT_OK(path);
    EXPECT_TRUE(paths.insert(*path).second) << *path;
  };
  add(config_, 24);
  add(config_, 25);
  GlyphConfig config = config_;
  config.seed = 7;
  add(config, 24);
  config = config_;
  config.distortion = 0.25;
  add(config, 24);
  config = config_;
  ++config.test_spots;
  add(config, 24);
  config = config_;
  config.train_fonts.pop_back();
  add(config, 24);
}

TEST_F(GlyphSourceTest, ACacheFolderThatCannotBeWrittenIsAnErrorWhenItWasSet) {
  const std::string file = JoinPath(::testing::TempDir(), "a_file");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(DefaultFileSystem(), file, ""));
  config_.cache_dir = JoinPath(file, "below");
  const auto source = OpenGlyphs(config_, 24, GlyphSplit::kUnseen, {});
  EXPECT_FALSE(source.ok());
  EXPECT_NE(source.status().ToString().find("data.glyphs.cache_dir"), std::string::npos)
      << source.status();
}

TEST_F(GlyphSourceTest, SizesOutsideTheRangeAreRefused) {
  EXPECT_THAT(OpenGlyphs(config_, 7, GlyphSplit::kUnseen, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.image_size 7"));
  EXPECT_THAT(OpenGlyphs(config_, 257, GlyphSplit::kUnseen, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.image_size 257"));
}

// Compiled only: the default fonts are large.
[[maybe_unused]] absl::Status Example() {
  GlyphConfig config;
  PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenGlyphs(config, 32, GlyphSplit::kTargetTrain, {}));
  return absl::OkStatus();
}

}  // namespace
}  // namespace protopage
