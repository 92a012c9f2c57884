#include "protopage/data/image.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace protopage {
namespace {

Image Grey(int width, int height, std::vector<uint8_t> pixels) {
  return Image{width, height, 1, std::move(pixels)};
}

TEST(ResizeImageTest, SameSizeCopies) {
  const Image in = Grey(2, 2, {1, 2, 3, 4});
  Image out;
  ResizeImage(in, 2, 2, &out);
  EXPECT_EQ(out.pixels, in.pixels);
}

TEST(ResizeImageTest, ShrinkingAveragesAreas) {
  const Image in = Grey(4, 2, {0, 100, 10, 20, 50, 250, 30, 40});
  Image out;
  ResizeImage(in, 2, 1, &out);
  EXPECT_EQ(out.width, 2);
  EXPECT_EQ(out.height, 1);
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{100, 25}));
}

TEST(ResizeImageTest, ShrinkingByAFractionSharesPixels) {
  // Three to two: [a, a, b | b, c, c] / 3.
  const Image in = Grey(3, 1, {30, 60, 120});
  Image out;
  ResizeImage(in, 2, 1, &out);
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{40, 100}));
}

TEST(ResizeImageTest, GrowingInterpolatesBetweenCentres) {
  const Image in = Grey(2, 1, {0, 100});
  Image out;
  ResizeImage(in, 4, 1, &out);
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{0, 25, 75, 100}));
}

TEST(ResizeImageTest, KeepsConstantImagesInEverySize) {
  for (int value : {0, 1, 127, 254, 255}) {
    for (int size : {1, 2, 3, 7, 13, 32, 97}) {
      Image in;
      in.Reset(31, 17, 3);
      std::fill(in.pixels.begin(), in.pixels.end(), static_cast<uint8_t>(value));
      Image out;
      ResizeImage(in, size, size + 1, &out);
      ASSERT_EQ(out.bytes(), int64_t{3} * size * (size + 1));
      for (uint8_t p : out.pixels) ASSERT_EQ(p, value) << size;
    }
  }
}

TEST(ResizeImageTest, AxesGoTheirOwnWays) {
  const Image in = Grey(2, 2, {0, 200, 0, 200});
  Image out;
  ResizeImage(in, 4, 1, &out);
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{0, 50, 150, 200}));
}

TEST(ResizeImageTest, ChannelsStayApart) {
  Image in{2, 1, 3, {10, 20, 30, 20, 40, 60}};
  Image out;
  ResizeImage(in, 1, 1, &out);
  EXPECT_EQ(out.pixels, (std::vector<uint8_t>{15, 30, 45}));
}

TEST(ConvertChannelsTest, GreyIsWeightedAndBackIsRepeated) {
  Image image{2, 1, 3, {255, 255, 255, 255, 0, 0}};
  ConvertChannels(1, &image);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{255, 77}));
  ConvertChannels(3, &image);
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{255, 255, 255, 77, 77, 77}));
}

TEST(ImageTest, TheExampleOfTheHeader) {
  const Image photo = {100, 50, 3, std::vector<uint8_t>(100 * 50 * 3, 200)};
  Image small;
  ResizeImage(photo, 32, 32, &small);
  ConvertChannels(1, &small);  // RGB -> grey
  EXPECT_EQ(small.pixels, std::vector<uint8_t>(32 * 32, 200));
}

}  // namespace
}  // namespace protopage
