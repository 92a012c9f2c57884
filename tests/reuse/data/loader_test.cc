// Two loaders: the host's of points, and protopage's of images, whose classes the points name.

#include "data/loader.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "gtest/gtest.h"
#include "protopage/data/augment.h"
#include "protopage/data/image.h"
#include "protopage/data/image_source.h"
#include "protopage/data/loader.h"
#include "protopage/data/open_source.h"
#include "protopage/data/source_config.h"

namespace reuse {
namespace {

TEST(LoaderTest, LoadsTheImagesThatPointsName) {
  ASSERT_OK_AND_ASSIGN(const std::vector<Point> points, Loader("0 3 0 5").Load());
  std::vector<int64_t> records;
  for (const Point& point : points) records.push_back(static_cast<int64_t>(point.y));

  protopage::DataConfig config;
  config.type = "synthetic";
  config.image_size = 8;
  auto source = protopage::OpenSource(config, protopage::Split::kTargetTrain);
  ASSERT_TRUE(source.ok()) << source.status();
  protopage::LoaderOptions options;
  options.height = options.width = 8;
  protopage::Loader loader(source->get(), options);
  loader.Submit(/*step=*/0, records);
  absl::StatusOr<protopage::ImageBatch> batch = loader.Next();
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->size, 2);

  protopage::Image image;
  ASSERT_TRUE((*source)->Read(5, &image).ok());
  const std::vector<uint8_t> second(batch->pixels.begin() + 8 * 8 * 3, batch->pixels.end());
  EXPECT_EQ(second, image.pixels);
}

TEST(LoaderTest, TheHostKeepsItsErrors) { EXPECT_EQ(Loader("").Load().error, Error::kEmpty); }

}  // namespace
}  // namespace reuse
