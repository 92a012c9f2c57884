#include "protopage/data/decode_image.h"

#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

// A smooth image, which JPEG keeps with a small error.
Image Gradient(int width, int height, int channels) {
  Image image;
  image.Reset(width, height, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels[(y * width + x) * channels + c] =
            static_cast<uint8_t>(20 + 3 * x + 2 * y + 10 * c);
      }
    }
  }
  return image;
}

std::string EncodeJpeg(const Image& image) {
  tjhandle handle = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  const bool grey = image.channels == 1;
  EXPECT_EQ(
      tjCompress2(handle, image.pixels.data(), image.width, 0, image.height,
                  grey ? TJPF_GRAY : TJPF_RGB, &out, &size, grey ? TJSAMP_GRAY : TJSAMP_444, 95, 0),
      0);
  const std::string bytes(reinterpret_cast<char*>(out), size);
  tjFree(out);
  tjDestroy(handle);
  return bytes;
}

TEST(DecodeImageTest, PngRoundTripIsExact) {
  for (int channels : {1, 3}) {
    const Image in = Gradient(13, 9, channels);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePng(in));
    Image out;
    PROTOPAGE_ASSERT_OK(DecodeImage(bytes, "x.png", {}, &out));
    EXPECT_EQ(out.width, 13);
    EXPECT_EQ(out.height, 9);
    EXPECT_EQ(out.channels, channels);
    EXPECT_EQ(out.pixels, in.pixels);
  }
}

TEST(DecodeImageTest, JpegComesBackNearly) {
  for (int channels : {1, 3}) {
    const Image in = Gradient(32, 24, channels);
    Image out;
    PROTOPAGE_ASSERT_OK(DecodeImage(EncodeJpeg(in), "x.jpg", {}, &out));
    EXPECT_EQ(out.width, 32);
    EXPECT_EQ(out.height, 24);
    ASSERT_EQ(out.channels, channels);
    for (size_t i = 0; i < in.pixels.size(); ++i) {
      ASSERT_LE(std::abs(in.pixels[i] - out.pixels[i]), 8) << i;
    }
  }
}

TEST(DecodeImageTest, SixteenBitsAndAlphaBecomeEightOnWhite) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = 2;
  png.height = 1;
  png.format = PNG_FORMAT_RGBA;
  const uint8_t pixels[] = {200, 100, 50, 255, 0, 0, 0, 0};
  std::string bytes(1000, '\0');
  png_alloc_size_t size = bytes.size();
  ASSERT_NE(png_image_write_to_memory(&png, &bytes[0], &size, 0, pixels, 0, nullptr), 0);
  bytes.resize(size);
  Image out;
  PROTOPAGE_ASSERT_OK(DecodeImage(bytes, "x.png", {}, &out));
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{200, 100, 50, 255, 255, 255}));
}

std::string FromHex(absl::string_view hex) { return absl::HexStringToBytes(hex); }

// Every kind of PNG and JPEG, with pixels of Pillow's.
struct DecodedImage {
  const char* name;
  const char* file;
  int width, height, channels;
  const char* pixels;
};
constexpr DecodedImage kDecodedImages[] = {
#include "protopage/data/testdata/decoded_images.inc"
};

TEST(DecodeImageTest, EveryKindOfFileHasThePixelsOfPillow) {
  for (const DecodedImage& expected : kDecodedImages) {
    const std::string file = FromHex(expected.file);
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImageHeader header,
                                   ReadImageHeader(file, expected.name, {}));
    EXPECT_EQ(header.width, expected.width) << expected.name;
    EXPECT_EQ(header.height, expected.height) << expected.name;
    EXPECT_EQ(header.channels, expected.channels) << expected.name;
    Image image;
    PROTOPAGE_ASSERT_OK(DecodeImage(file, expected.name, {}, &image));
    EXPECT_EQ(image.channels, expected.channels) << expected.name;
    const std::string pixels = FromHex(expected.pixels);
    EXPECT_EQ(image.pixels, std::vector<uint8_t>(pixels.begin(), pixels.end())) << expected.name;
  }
}

TEST(DecodeImageTest, TheHeaderIsReadFromTheBeginningOfAFile) {
  const Image in = Gradient(320, 240, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string png, EncodePng(in));
  for (const std::string& whole : {png, EncodeJpeg(in)}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const ImageHeader header,
                                   ReadImageHeader(whole.substr(0, 1000), "begin", {}));
    EXPECT_EQ(header.width, 320);
    EXPECT_EQ(header.height, 240);
    EXPECT_EQ(header.channels, 3);
    EXPECT_THAT(ReadImageHeader(whole.substr(0, 20), "begin", {}),
                StatusIs(absl::StatusCode::kDataLoss, "begin: damaged"));
    DecodeOptions options;
    options.max_pixels = 320 * 240 - 1;
    EXPECT_THAT(ReadImageHeader(whole, "big", options),
                StatusIs(absl::StatusCode::kResourceExhausted, "big: 320 x 240"));
    EXPECT_TRUE(HasImageEnd(whole, whole));
    EXPECT_FALSE(HasImageEnd(whole, whole.substr(0, whole.size() - 1)));
    EXPECT_FALSE(HasImageEnd(whole, whole + "x"));
  }
  EXPECT_THAT(ReadImageHeader("GIF89a....", "a.jpg", {}),
              StatusIs(absl::StatusCode::kDataLoss, "a.jpg: neither a JPEG nor a PNG"));
  EXPECT_THAT(ReadImageHeader("", "a.jpg", {}),
              StatusIs(absl::StatusCode::kDataLoss, "a.jpg: the file is empty"));
}

TEST(DecodeImageTest, ForeignAndEmptyFilesAreNamed) {
  Image out;
  EXPECT_THAT(DecodeImage("GIF89a....", "a/b.jpg", {}, &out),
              StatusIs(absl::StatusCode::kDataLoss, "a/b.jpg: neither a JPEG nor a PNG"));
  EXPECT_THAT(DecodeImage("", "a/b.jpg", {}, &out),
              StatusIs(absl::StatusCode::kDataLoss, "a/b.jpg: the file is empty"));
}

TEST(DecodeImageTest, EveryTruncationIsAnError) {
  const Image in = Gradient(32, 24, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string png, EncodePng(in));
  const std::string jpeg = EncodeJpeg(in);
  Image out;
  for (const std::string& whole : {png, jpeg}) {
    // PNG ends with an empty IEND chunk of 12 bytes, JPEG with a marker of 2 bytes; a reader need
    // not notice when these are missing.
    for (size_t size = 0; size + 12 < whole.size(); size += 7) {
      EXPECT_THAT(DecodeImage(absl::string_view(whole).substr(0, size), "cut", {}, &out),
                  StatusIs(absl::StatusCode::kDataLoss, "cut: "))
          << size;
    }
  }
}

// With any bytes changed, the decoder returns without a crash, and an error names the file.
TEST(DecodeImageTest, DamageIsSurvived) {
  const Image in = Gradient(32, 24, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string png, EncodePng(in));
  const std::string jpeg = EncodeJpeg(in);
  int errors = 0;
  for (const std::string& whole : {png, jpeg}) {
    for (int trial = 0; trial < 500; ++trial) {
      std::string bytes = whole;
      RandomStream random(1, RandomPurpose::kTest, trial);
      for (int i = 0; i < 3; ++i) {
        bytes[4 + random.Below(bytes.size() - 4)] = static_cast<char>(random.Next());
      }
      Image out;
      DecodeOptions options;
      options.max_pixels = 1 << 20;
      const absl::Status status = DecodeImage(bytes, "damaged", options, &out);
      if (!status.ok()) {
        ++errors;
        EXPECT_EQ(std::string(status.message()).find("damaged"), 0u) << status;
      }
    }
  }
  EXPECT_GT(errors, 500);
}

// The state that an error leaves behind in a decoder must not make the next image fail.
TEST(DecodeImageTest, DamageDoesNotReachTheNextImage) {
  const Image in = Gradient(32, 24, 3);
  const std::string jpeg = EncodeJpeg(in);
  Image expected;
  PROTOPAGE_ASSERT_OK(DecodeImage(jpeg, "whole", {}, &expected));
  for (int trial = 0; trial < 200; ++trial) {
    std::string bytes = jpeg;
    RandomStream random(2, RandomPurpose::kTest, trial);
    for (int i = 0; i < 3; ++i) bytes[2 + random.Below(200)] = static_cast<char>(random.Next());
    DecodeOptions options;
    options.max_pixels = 1 << 20;
    Image out;
    DecodeImage(bytes, "damaged", options, &out).IgnoreError();
    PROTOPAGE_ASSERT_OK(DecodeImage(jpeg, "whole", {}, &out));
    ASSERT_EQ(out.pixels, expected.pixels);
  }
}

TEST(DecodeImageTest, ImagesAboveTheLimitAreRefusedBeforeDecoding) {
  const Image in = Gradient(32, 24, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string png, EncodePng(in));
  DecodeOptions options;
  options.max_pixels = 32 * 24 - 1;
  Image out;
  EXPECT_THAT(DecodeImage(png, "big.png", options, &out),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "big.png: 32 x 24 pixels are more than the limit of 767"));
  EXPECT_THAT(DecodeImage(EncodeJpeg(in), "big.jpg", options, &out),
              StatusIs(absl::StatusCode::kResourceExhausted, "big.jpg"));
  options.max_pixels = 32 * 24;
  PROTOPAGE_EXPECT_OK(DecodeImage(png, "big.png", options, &out));
}

TEST(DecodeImageTest, KnowsExtensions) {
  EXPECT_TRUE(HasImageExtension("a.JPG"));
  EXPECT_TRUE(HasImageExtension("a.jpeg"));
  EXPECT_TRUE(HasImageExtension("a.Png"));
  EXPECT_FALSE(HasImageExtension("a.gif"));
  EXPECT_FALSE(HasImageExtension("png"));
}

absl::StatusOr<Image> Example(const std::string& bytes, const std::string& path) {
  Image image;
  PROTOPAGE_RETURN_IF_ERROR(DecodeImage(bytes, path, {}, &image));  // Grey or RGB, as the file.
  return image;
}

TEST(DecodeImageTest, TheExampleOfTheHeader) {
  const Image original = Gradient(5, 4, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePng(original));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Image decoded, Example(bytes, "a.png"));
  EXPECT_EQ(decoded.pixels, original.pixels);
}

}  // namespace
}  // namespace protopage
