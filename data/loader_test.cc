#include "protopage/data/loader.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"

namespace protopage {
namespace {

LoaderOptions SmallOptions(int threads) {
  LoaderOptions options;
  options.height = 6;
  options.width = 5;
  options.channels = 3;
  options.augment.flip = 0.5;
  options.augment.pad_crop = 1;
  options.augment.rotate = 5;
  options.seed = 9;
  options.threads = threads;
  options.max_batches = 2;
  return options;
}

// All pixels of 6 batches of 21 images.
std::vector<uint8_t> LoadAll(const ImageSource& source, const LoaderOptions& options) {
  Loader loader(&source, options);
  for (int64_t step = 0; step < 6; ++step) {
    std::vector<int64_t> records;
    for (int64_t i = 0; i < 21; ++i) records.push_back((step * 31 + i * 7) % source.size());
    loader.Submit(step, records);
  }
  std::vector<uint8_t> all;
  for (int64_t step = 0; step < 6; ++step) {
    absl::StatusOr<ImageBatch> batch = loader.Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok()) break;
    EXPECT_EQ(batch->step, step);
    EXPECT_EQ(batch->size, 21);
    EXPECT_EQ(batch->pixels.size(), 21u * 6 * 5 * 3);
    all.insert(all.end(), batch->pixels.begin(), batch->pixels.end());
    loader.Recycle(*std::move(batch));
  }
  EXPECT_EQ(loader.pending(), 0);
  return all;
}

absl::Status Example(const std::unique_ptr<ImageSource>& source,
                     absl::FunctionRef<void(const std::vector<uint8_t>& pixels)> Train) {
  LoaderOptions options;
  options.height = options.width = 32;
  options.augment.flip = 0.5;
  options.seed = 1;
  Loader loader(source.get(), options);
  loader.Submit(0, {5, 17, 3});  // The records of step 0.
  loader.Submit(1, {8, 2, 4});
  PROTOPAGE_ASSIGN_OR_RETURN(ImageBatch batch, loader.Next());  // Step 0: uint8 [3, 32, 32, 3].
  Train(batch.pixels);
  loader.Recycle(std::move(batch));  // A later batch uses its memory.
  return absl::OkStatus();
}

TEST(LoaderTest, TheExampleOfTheHeader) {
  size_t bytes = 0;
  PROTOPAGE_ASSERT_OK(Example(std::make_unique<FakeSource>(std::vector<ClassId>(20, 0), 1),
                              [&](const std::vector<uint8_t>& pixels) { bytes = pixels.size(); }));
  EXPECT_EQ(bytes, 3u * 32 * 32 * 3);
}

TEST(LoaderTest, SameBitsWithAnyNumberOfThreads) {
  const FakeSource source(std::vector<ClassId>(40, 0), 1);
  const std::vector<uint8_t> one = LoadAll(source, SmallOptions(1));
  EXPECT_EQ(LoadAll(source, SmallOptions(2)), one);
  EXPECT_EQ(LoadAll(source, SmallOptions(5)), one);
  LoaderOptions wide = SmallOptions(3);
  wide.max_batches = 100;
  EXPECT_EQ(LoadAll(source, wide), one);
}

TEST(LoaderTest, WithoutAugmentationImagesAreWhatTheSourceHolds) {
  const FakeSource source({0, 0, 0}, 1, 5, 6, 3);
  LoaderOptions options = SmallOptions(2);
  options.augment = AugmentConfig::None();
  Loader loader(&source, options);
  loader.Submit(3, {2, 0});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(ImageBatch batch, loader.Next());
  std::vector<uint8_t> expected;
  for (int64_t record : {2, 0}) {
    Image image;
    PROTOPAGE_ASSERT_OK(source.Read(record, &image));
    expected.insert(expected.end(), image.pixels.begin(), image.pixels.end());
  }
  EXPECT_EQ(batch.pixels, expected);
}

TEST(LoaderTest, BringsImagesToShapeAndChannels) {
  const FakeSource source({0}, 1, 50, 20, 3);
  LoaderOptions options = SmallOptions(1);
  options.channels = 1;
  options.augment = AugmentConfig::None();
  Loader loader(&source, options);
  loader.Submit(0, {0});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(ImageBatch batch, loader.Next());
  Image image;
  PROTOPAGE_ASSERT_OK(source.Read(0, &image));
  ConvertChannels(1, &image);
  Image expected;
  ResizeImage(image, 5, 6, &expected);
  EXPECT_EQ(batch.pixels, expected.pixels);
}

// The first of several damaged images is reported, whichever thread finds its error first, and the
// next batch is not affected.
TEST(LoaderTest, ErrorOfAnImageSurfacesAndTheNextBatchIsFine) {
  FakeSource source(std::vector<ClassId>(60, 0), 1);
  source.damaged = {11, 33, 50};
  for (int threads : {1, 3}) {
    Loader loader(&source, SmallOptions(threads));
    std::vector<int64_t> records;
    for (int64_t i = 0; i < 60; ++i) records.push_back(i);
    loader.Submit(0, records);
    loader.Submit(1, {1, 2, 3});
    EXPECT_THAT(loader.Next(), StatusIs(absl::StatusCode::kDataLoss, "fake-11"));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(ImageBatch batch, loader.Next());
    EXPECT_EQ(batch.step, 1);
    EXPECT_EQ(batch.size, 3);
  }
}

TEST(LoaderTest, RecordOutsideTheSourceIsAnError) {
  const FakeSource source({0, 0}, 1);
  Loader loader(&source, SmallOptions(1));
  loader.Submit(4, {0, 2});
  EXPECT_THAT(loader.Next(), StatusIs(absl::StatusCode::kOutOfRange,
                                      "record 2 at position 1 of step 4 is outside [0, 2)"));
}

TEST(LoaderTest, NextWithoutSubmitIsAnError) {
  const FakeSource source({0}, 1);
  Loader loader(&source, SmallOptions(1));
  EXPECT_THAT(loader.Next(), StatusIs(absl::StatusCode::kFailedPrecondition, "submitted"));
}

TEST(LoaderTest, IsReadyWhenNextNeedNotWait) {
  const FakeSource source({0, 0, 0}, 1, 5, 6, 3);
  Loader loader(&source, SmallOptions(1));
  EXPECT_FALSE(loader.ready());  // Nothing was submitted.
  loader.Submit(0, {2, 0});
  while (!loader.ready()) std::this_thread::yield();
  PROTOPAGE_ASSERT_OK(loader.Next().status());
  EXPECT_EQ(loader.seconds_waited(), 0);
  EXPECT_FALSE(loader.ready());
}

TEST(LoaderTest, EmptyBatchIsComplete) {
  const FakeSource source({0}, 1);
  Loader loader(&source, SmallOptions(2));
  loader.Submit(0, {});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(ImageBatch batch, loader.Next());
  EXPECT_EQ(batch.size, 0);
  EXPECT_TRUE(batch.pixels.empty());
}

TEST(LoaderTest, StopsWithBatchesNotFetched) {
  const FakeSource source(std::vector<ClassId>(100, 0), 1, 64, 64);
  Loader loader(&source, SmallOptions(3));
  std::vector<int64_t> records(1000, 5);
  for (int64_t step = 0; step < 20; ++step) loader.Submit(step, records);
  PROTOPAGE_ASSERT_OK(loader.Next());
  EXPECT_EQ(loader.pending(), 19);
}

TEST(LoaderTest, CountsTheTimeThatNextWaits) {
  const FakeSource source(std::vector<ClassId>(100, 0), 1, 256, 256);
  Loader loader(&source, SmallOptions(1));
  EXPECT_EQ(loader.seconds_waited(), 0);
  loader.Submit(0, std::vector<int64_t>(50, 1));
  PROTOPAGE_ASSERT_OK(loader.Next());
  EXPECT_GT(loader.seconds_waited(), 0);
}

}  // namespace
}  // namespace protopage
