#include "protopage/data/open_source.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/cifar_type.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/synthetic_type.h"

namespace protopage {
namespace {

class OpenSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = JoinPath(::testing::TempDir(),
                    ::testing::UnitTest::GetInstance()->current_test_info()->name());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(dir_));
  }
  void Write(const std::string& name, const std::string& content) {
    const std::string path = JoinPath(dir_, name);
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(DirectoryOf(path)));
    PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, path, content));
  }
  void WriteImage(const std::string& name, uint8_t value) {
    absl::StatusOr<std::string> png = EncodePng(Image{1, 1, 1, {value}});
    PROTOPAGE_ASSERT_OK(png);
    Write(name, *png);
  }
  DataConfig FolderConfig() {
    for (const char* c : {"a", "b"}) {
      for (int i = 0; i < 10; ++i) {
        WriteImage(std::string("train/") + c + "/" + std::to_string(i) + ".png",
                   static_cast<uint8_t>(i));
      }
    }
    WriteImage("test/b/x.png", 200);
    DataConfig config;
    config.type = "folder";
    config.paths.target_train = JoinPath(dir_, "train");
    config.paths.target_test = JoinPath(dir_, "test");
    return config;
  }

  FileSystem* fs_ = DefaultFileSystem();
  std::string dir_;
};

TEST_F(OpenSourceTest, FolderTestHasTheTrainingLabels) {
  const DataConfig config = FolderConfig();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto test, OpenSource(config, Split::kTargetTest));
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(test->num_classes(), 2);
  EXPECT_EQ(test->Label(0), 1);
}

TEST_F(OpenSourceTest, ValidationAndTrainingShareNothingAndLeaveNothing) {
  DataConfig config = FolderConfig();
  config.validation_share = 0.2;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto train, OpenSource(config, Split::kTargetTrain));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto validation, OpenSource(config, Split::kTargetValidation));
  EXPECT_EQ(train->size(), 16);
  EXPECT_EQ(validation->size(), 4);
  std::set<std::string> all;
  for (const auto* source : {train.get(), validation.get()}) {
    EXPECT_EQ(source->num_classes(), 2);
    for (int64_t r = 0; r < source->size(); ++r) all.insert(source->RecordName(r));
  }
  EXPECT_EQ(all.size(), 20u);
}

TEST_F(OpenSourceTest, SplitsThatAreNotThereSayWhatTheyNeed) {
  DataConfig config = FolderConfig();
  EXPECT_FALSE(HasSplit(config, Split::kUnseen));
  EXPECT_THAT(OpenSource(config, Split::kUnseen),
              StatusIs(absl::StatusCode::kInvalidArgument, "split unseen needs data.paths.unseen"));
  EXPECT_THAT(OpenSource(config, Split::kTargetValidation),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.validation_share"));
  EXPECT_THAT(OpenSource(config, Split::kSourceTrain),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.paths.source_train"));
  config.paths.target_train.clear();
  EXPECT_THAT(OpenSource(config, Split::kTargetTest),
              StatusIs(absl::StatusCode::kInvalidArgument, "needs data.paths.target_train"));
  config.paths.target_train = "/none";
  EXPECT_THAT(OpenSource(config, Split::kTargetTrain),
              StatusIs(absl::StatusCode::kNotFound, "data.paths.target_train: /none: no such"));
  config.type = "glyphs";
  config.options.Mutable<GlyphConfig>().unseen_classes = 0;
  EXPECT_FALSE(HasSplit(config, Split::kUnseen));
  EXPECT_TRUE(HasSplit(config, Split::kTargetTest));
  EXPECT_THAT(OpenSource(config, Split::kUnseen),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.glyphs.unseen_classes above 0"));
  config.type = "cifar";
  EXPECT_THAT(OpenSource(config, Split::kUnseen),
              StatusIs(absl::StatusCode::kInvalidArgument, "cifar has no unseen"));
  EXPECT_THAT(OpenSource(config, Split::kTargetTrain),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.data_dir is not set"));
}

[[maybe_unused]] absl::Status Example() {
  DataConfig config;  // {"type": "cifar", "data_dir": "/data/cifar"}
  PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenSource(config, Split::kTargetTrain));
  PROTOPAGE_ASSIGN_OR_RETURN(auto test, OpenSource(config, Split::kTargetTest));
  return absl::OkStatus();
}

TEST_F(OpenSourceTest, AnUnknownTypeIsAnError) {
  DataConfig config;
  config.type = "tape";
  EXPECT_FALSE(HasSplit(config, Split::kTargetTrain));
  EXPECT_THAT(OpenSource(config, Split::kTargetTrain),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.type \"tape\": allowed are"));
}

TEST_F(OpenSourceTest, WhatASplitLeavesOutIsToldOnce) {
  const DataConfig config = FolderConfig();
  Write("train/a/notes.txt", "");
  std::vector<std::string> notes;
  OpenOptions options;
  options.note = [&](const std::string& line) { notes.push_back(line); };
  SplitSources sources(config, options);
  for (int i = 0; i < 2; ++i) {
    for (const Split split : {Split::kTargetTrain, Split::kTargetTest}) {
      PROTOPAGE_EXPECT_OK(sources.Open(split));
    }
  }
  EXPECT_EQ(notes, (std::vector<std::string>{
                       JoinPath(dir_, "train") + ": left out 1 other file (a/notes.txt)",
                       "split target_test: 1 of 2 classes has no image, the first of them a"}));
}

TEST_F(OpenSourceTest, AShareOfTooManyImagesCannotBeHeldOut) {
  DataConfig config;
  config.type = "synthetic";
  config.options.Mutable<SyntheticConfig>().target_classes = 2'000'000'000;
  config.options.Mutable<SyntheticConfig>().train_images = 3;
  config.validation_share = 0.1;
  EXPECT_THAT(OpenSource(config, Split::kTargetTrain),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.validation_share: found 0.1"));
}

TEST_F(OpenSourceTest, SplitSourcesReadEachFolderOnce) {
  DataConfig config = FolderConfig();
  config.validation_share = 0.2;
  SplitSources sources(config, {});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto train, sources.Open(Split::kTargetTrain));
  // The folder is moved away, but it has been read.
  PROTOPAGE_ASSERT_OK(fs_->Rename(JoinPath(dir_, "train"), JoinPath(dir_, "elsewhere")));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto again, sources.Open(Split::kTargetTrain));
  EXPECT_EQ(again, train);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto validation, sources.Open(Split::kTargetValidation));
  EXPECT_EQ(train->size() + validation->size(), 20);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto test, sources.Open(Split::kTargetTest));
  EXPECT_EQ(test->num_classes(), 2);
  PROTOPAGE_ASSERT_OK(fs_->Rename(JoinPath(dir_, "elsewhere"), JoinPath(dir_, "train")));
}

TEST_F(OpenSourceTest, SplitSourcesForgetWhatIsNotKept) {
  SplitSources sources(FolderConfig(), {});
  std::weak_ptr<const ImageSource> train, test;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto train_source, sources.Open(Split::kTargetTrain));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto test_source, sources.Open(Split::kTargetTest));
    train = train_source;
    test = test_source;
  }
  sources.KeepOnly({Split::kTargetTest, Split::kUnseen});
  EXPECT_TRUE(train.expired());
  EXPECT_FALSE(test.expired());
}

TEST_F(OpenSourceTest, CifarRolesAreDataSets) {
  Write("cifar-10-batches-bin/test_batch.bin", std::string(3073, '\x3'));
  Write("cifar-100-binary/test.bin", std::string(3074, '\x17'));
  DataConfig config;
  config.type = "cifar";
  config.options.Mutable<CifarConfig>().data_dir = dir_;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenSource(config, Split::kSourceTest));
  EXPECT_EQ(source->num_classes(), 10);
  EXPECT_EQ(source->Label(0), 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto target, OpenSource(config, Split::kTargetTest));
  EXPECT_EQ(target->num_classes(), 100);
  EXPECT_EQ(target->Label(0), 23);
}

TEST_F(OpenSourceTest, ListsWork) {
  WriteImage("1.png", 9);
  Write("train.txt", "1.png\t1\n1.png\t0\n");
  DataConfig config;
  config.type = "list";
  config.paths.source_train = JoinPath(dir_, "train.txt");
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto source, OpenSource(config, Split::kSourceTrain));
  EXPECT_EQ(source->Label(0), 1);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto images, OpenImages(JoinPath(dir_, "train.txt"), config));
  EXPECT_EQ(images->size(), 2);
}

TEST_F(OpenSourceTest, GlyphsWork) {
  DataConfig config;
  GlyphConfig& glyphs = config.options.Mutable<GlyphConfig>();
  glyphs.source_classes = 2;
  glyphs.unseen_classes = 2;
  glyphs.target_classes = 3;
  glyphs.cache_dir = dir_;
  config.validation_share = 0.5;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto unseen, OpenSource(config, Split::kUnseen));
  EXPECT_EQ(unseen->num_classes(), 2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto train, OpenSource(config, Split::kTargetTrain));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(auto validation, OpenSource(config, Split::kTargetValidation));
  EXPECT_EQ(train->size(), 9);
  EXPECT_EQ(validation->size(), 6);
  for (int64_t r = 0; r < validation->size(); ++r) EXPECT_EQ(validation->Domain(r), 1);
}

TEST(SyntheticTest, SplitsHaveOtherImagesOfTheSameClassesAndUnseenHasOtherClasses) {
  DataConfig config;
  config.type = "synthetic";
  SyntheticConfig& synthetic = config.options.Mutable<SyntheticConfig>();
  synthetic.target_classes = 5;
  synthetic.unseen_classes = 5;
  synthetic.train_images = 3;
  synthetic.test_images = 1;
  synthetic.noise = 0;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto train, OpenSource(config, Split::kTargetTrain));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto test, OpenSource(config, Split::kTargetTest));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto unseen, OpenSource(config, Split::kUnseen));
  EXPECT_EQ(train->size(), 15);
  EXPECT_EQ(test->size(), 5);
  EXPECT_EQ(unseen->num_classes(), 5);
  // The test image is the same as the fourth training image of its class.
  synthetic.train_images = 4;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto longer, OpenSource(config, Split::kTargetTrain));
  Image a, b;
  PROTOPAGE_ASSERT_OK(test->Read(2, &a));
  PROTOPAGE_ASSERT_OK(longer->Read(2 * 4 + 3, &b));
  EXPECT_EQ(a.pixels, b.pixels);
  PROTOPAGE_ASSERT_OK(unseen->Read(2, &b));
  EXPECT_NE(a.pixels, b.pixels);
  synthetic.unseen_classes = 0;
  EXPECT_FALSE(HasSplit(config, Split::kUnseen));
  EXPECT_THAT(
      OpenSource(config, Split::kUnseen),
      StatusIs(absl::StatusCode::kInvalidArgument, "data.synthetic.unseen_classes above 0"));
}

TEST(OpenSourceConfigTest, AugmentationAndChannelsFollowTheType) {
  DataConfig config;
  EXPECT_EQ(ChannelsFor(config), 1);
  EXPECT_EQ(AugmentFor(config).flip, 0);
  EXPECT_GT(AugmentFor(config).rotate, 0);
  config.type = "cifar";
  EXPECT_EQ(ChannelsFor(config), 3);
  EXPECT_EQ(AugmentFor(config).flip, 0.5);
  EXPECT_EQ(AugmentFor(config).pad_crop, 4);
  EXPECT_EQ(AugmentFor(config).rotate, 0);
  config.augment.flip = 0;
  config.channels = 1;
  EXPECT_EQ(ChannelsFor(config), 1);
  EXPECT_EQ(AugmentFor(config).flip, 0);
  EXPECT_EQ(AugmentFor(config).pad_crop, 4);
}

}  // namespace
}  // namespace protopage
