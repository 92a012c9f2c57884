#include "protopage/data/synthetic_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "protopage/base/status_matchers.h"
#include "protopage/data/class_images.h"

namespace protopage {
namespace {

std::vector<uint8_t> Pixels(const ImageSource& source, int64_t record) {
  Image image;
  PROTOPAGE_EXPECT_OK(source.Read(record, &image));
  EXPECT_EQ(image.width, 32);
  EXPECT_EQ(image.height, 32);
  EXPECT_EQ(image.channels, 3);
  return image.pixels;
}

double Distance(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += (double{1} * a[i] - b[i]) * (double{1} * a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

TEST(SyntheticSource, RecordsAreNumberedByClassAndTakeNoMemory) {
  const auto source =
      MakeSyntheticSource({.seed = 1, .num_classes = 2'000'000'000, .images_per_class = 3});
  EXPECT_EQ(source->size(), 6'000'000'000);
  EXPECT_EQ(source->Label(5'999'999'999), 1'999'999'999);
  EXPECT_EQ(source->RecordName(7), "synthetic[2][1]");
  const ClassImages images(*source);
  EXPECT_EQ(images.num_classes(), 2'000'000'000);
  EXPECT_EQ(images.size(), 6'000'000'000);
  EXPECT_EQ(images.Count(1'999'999'999), 3);
  EXPECT_EQ(images.Record(1'999'999'999, 2), 5'999'999'999);
}

TEST(SyntheticSource, AnImageIsAFunctionOfSeedClassAndNumber) {
  const SyntheticOptions options = {.seed = 1, .num_classes = 10, .images_per_class = 4};
  const auto source = MakeSyntheticSource(options);
  const std::vector<uint8_t> pixels = Pixels(*source, 14);  // Class 3, image 2.
  EXPECT_EQ(Pixels(*source, 14), pixels);
  SyntheticOptions test = options;
  test.images_per_class = 1;
  test.first_image = 2;
  EXPECT_EQ(Pixels(*MakeSyntheticSource(test), 3), pixels);
  SyntheticOptions other = options;
  other.seed = 2;
  EXPECT_NE(Pixels(*MakeSyntheticSource(other), 14), pixels);
}

// The images of a class are nearer to each other than to those of other classes.
TEST(SyntheticSource, AnImageTellsItsClass) {
  const auto source = MakeSyntheticSource({.seed = 1, .num_classes = 40, .images_per_class = 2});
  std::vector<std::vector<uint8_t>> pixels;
  for (int64_t record = 0; record < source->size(); ++record) {
    pixels.push_back(Pixels(*source, record));
  }
  int right = 0;
  for (int64_t query = 0; query < 40; ++query) {
    int64_t nearest = 0;
    double least = Distance(pixels[2 * query + 1], pixels[0]);
    for (int64_t c = 1; c < 40; ++c) {
      const double distance = Distance(pixels[2 * query + 1], pixels[2 * c]);
      if (distance < least) {
        least = distance;
        nearest = c;
      }
    }
    right += nearest == query;
  }
  EXPECT_GE(right, 34);
}

TEST(SyntheticSource, TheExampleOfTheHeader) {
  auto source = MakeSyntheticSource({.num_classes = 100'000'000, .images_per_class = 2});
  EXPECT_EQ(source->size(), 200'000'000);
}

}  // namespace
}  // namespace protopage
