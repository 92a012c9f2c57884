#include "protopage/data/check_images.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/fake_source.h"
#include "protopage/data/file_source.h"

namespace protopage {
namespace {

class CheckImagesTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/check_images_test_", getpid());
    PROTOPAGE_ASSERT_OK(fs_->CreateDirectories(dir_));
    Image image{8, 8, 1, std::vector<uint8_t>(64, 7)};
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(png_, EncodePng(image));
  }

  std::string Path(const std::string& name) { return JoinPath(dir_, name); }
  absl::Status Check(const std::string& content, const DecodeOptions& options = {}) {
    PROTOPAGE_EXPECT_OK(WriteFileAtomically(fs_, Path("x.png"), content));
    return CheckImageFile(fs_, Path("x.png"), options);
  }

  FileSystem* const fs_ = DefaultFileSystem();
  std::string dir_, png_;
};

TEST_F(CheckImagesTest, AWholeFileIsAccepted) {
  PROTOPAGE_EXPECT_OK(Check(png_));
  // Other data behind the image harms no decoder.
  PROTOPAGE_EXPECT_OK(Check(png_ + "trailer"));
}

TEST_F(CheckImagesTest, EveryTruncationThatADecoderNoticesIsFound) {
  for (size_t size = 0; size < png_.size(); ++size) {
    const std::string cut = png_.substr(0, size);
    Image image;
    const absl::Status decoded = DecodeImage(cut, Path("x.png"), {}, &image);
    EXPECT_EQ(Check(cut), decoded) << size;
  }
}

TEST_F(CheckImagesTest, AHeaderFarInTheFileIsFound) {
  // 100 kB of text chunks before the pixels.
  const size_t after_header = 33;
  const std::string text = absl::StrCat(std::string("\0\1\x86\xa0tEXt", 8),
                                        std::string(100000, 'x'), std::string(4, '\0'));
  const std::string large = png_.substr(0, after_header) + text + png_.substr(after_header);
  PROTOPAGE_EXPECT_OK(Check(large));
  EXPECT_THAT(Check(large.substr(0, large.size() - 20)),
              StatusIs(absl::StatusCode::kDataLoss, "x.png: damaged PNG"));
}

TEST_F(CheckImagesTest, WhatIsNoImageFileIsNamed) {
  DecodeOptions options;
  options.max_pixels = 63;
  EXPECT_THAT(Check(png_, options), StatusIs(absl::StatusCode::kResourceExhausted, "8 x 8 pixels"));
  EXPECT_THAT(Check("text"), StatusIs(absl::StatusCode::kDataLoss, "neither a JPEG nor a PNG"));
  EXPECT_THAT(Check(""), StatusIs(absl::StatusCode::kDataLoss, "x.png: the file is empty"));
  EXPECT_THAT(CheckImageFile(fs_, Path("none.png"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none.png"));
  EXPECT_THAT(CheckImageFile(fs_, dir_, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "a folder, expected an image file"));
  ASSERT_EQ(mkfifo(Path("pipe.png").c_str(), 0600), 0);
  EXPECT_THAT(CheckImageFile(fs_, Path("pipe.png"), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "pipe.png: a pipe"));
}

TEST_F(CheckImagesTest, TheFirstOfManyFailuresIsNamed) {
  // More than a round of the check.
  constexpr int64_t kImages = 20000;
  std::string list;
  for (int64_t i = 0; i < kImages; ++i) {
    absl::StrAppend(&list, i == 17 || i == 400 || i == kImages - 1 ? "none" : "x", ".png\t0\n");
  }
  PROTOPAGE_ASSERT_OK(Check(png_));
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("list"), list));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const auto source, OpenImageList(fs_, Path("list"), {}));
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    EXPECT_THAT(CheckImages(*source, "test", &pool, nullptr),
                StatusIs(absl::StatusCode::kNotFound, "; 2 more of 20000 images cannot be read"));
  }
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(fs_, Path("none.png"), png_));
  ThreadPool pool(2);
  PROTOPAGE_EXPECT_OK(CheckImages(*source, "test", &pool, nullptr));
}

TEST_F(CheckImagesTest, ComputedImagesNeedNoCheck) {
  FakeSource source({0, 0, 1}, 2);
  source.damaged = {1};
  ThreadPool pool(1);
  PROTOPAGE_EXPECT_OK(CheckImages(source, "test", &pool, nullptr));
}

absl::Status Example(const ImageSource* source, const ProgressFunction& progress) {
  ThreadPool pool(0);
  PROTOPAGE_RETURN_IF_ERROR(CheckImages(*source, "source_test", &pool, progress));
  return absl::OkStatus();
}

TEST_F(CheckImagesTest, TheExampleOfTheHeader) {
  const FakeSource source({0}, 1);
  PROTOPAGE_EXPECT_OK(Example(&source, nullptr));
}

}  // namespace
}  // namespace protopage
