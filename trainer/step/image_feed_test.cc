#include "protopage/trainer/step/image_feed.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/fake_source.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

class ImageFeedTest : public testing::Test {
 protected:
  static LoaderOptions Options() {
    LoaderOptions options;
    options.height = options.width = 8;
    return options;
  }

  // The batches of `steps` as a loader gives them.
  std::vector<std::vector<uint8_t>> Expected(const std::vector<std::vector<int64_t>>& steps) {
    Loader loader(&source_, Options());
    std::vector<std::vector<uint8_t>> batches;
    for (size_t step = 0; step < steps.size(); ++step) {
      loader.Submit(static_cast<int64_t>(step), steps[step]);
      auto batch = loader.Next();
      PROTOPAGE_EXPECT_OK(batch.status());
      batches.push_back(std::move(batch->pixels));
    }
    return batches;
  }

  std::vector<uint8_t> ToHost(const Tensor& images) {
    std::vector<uint8_t> pixels(images.num_elements());
    PROTOPAGE_EXPECT_OK(backend_->CopyToHost(images, pixels.data()));
    return pixels;
  }

  static void AwaitLoaded(ImageFeed& feed) {
    while (!feed.loader().ready()) std::this_thread::yield();
  }

  TestBackend backend_{1};
  FakeSource source_{std::vector<ClassId>(20, 0), 1};
};

TEST_F(ImageFeedTest, TheExampleOfTheHeader) {
  const FakeSource& source = source_;
  const LoaderOptions loader_options = Options();
  Backend* const backend = backend_.get();
  std::vector<std::vector<uint8_t>> batches;
  const auto example = [&]() -> absl::Status {
    ImageFeed feed(&source, loader_options, backend);
    feed.loader().Submit(/*step=*/0, {5, 17, 3});
    feed.loader().Submit(/*step=*/1, {8, 2, 4});
    PROTOPAGE_ASSIGN_OR_RETURN(Tensor images, feed.Next());  // Step 0: uint8 [3, H, W, C].
    batches.push_back(ToHost(images));
    PROTOPAGE_RETURN_IF_ERROR(feed.PrefetchNext());
    PROTOPAGE_RETURN_IF_ERROR(backend->Synchronize());
    PROTOPAGE_ASSIGN_OR_RETURN(images, feed.Next());  // Step 1.
    batches.push_back(ToHost(images));
    EXPECT_EQ(images.shape(), Shape({3, 8, 8, 3}));
    return absl::OkStatus();
  };
  PROTOPAGE_ASSERT_OK(example());
  EXPECT_EQ(batches, Expected({{5, 17, 3}, {8, 2, 4}}));
}

TEST_F(ImageFeedTest, BatchesComeInOrderWhetherPrefetchedOrPutBack) {
  const std::vector<std::vector<int64_t>> steps = {{0, 1}, {2, 3, 4}, {5, 6}, {7, 8, 9}, {10}};
  const std::vector<std::vector<uint8_t>> expected = Expected(steps);
  for (int which = 0; which < 8;
       ++which) {  // Bits: prefetch, put back, prefetch before putting back.
    ImageFeed feed(&source_, Options(), backend_.get());
    for (size_t step = 0; step < steps.size(); ++step) {
      feed.loader().Submit(static_cast<int64_t>(step), steps[step]);
    }
    for (size_t step = 0; step < steps.size(); ++step) {
      if ((which & 1) != 0) {
        AwaitLoaded(feed);
        PROTOPAGE_ASSERT_OK(feed.PrefetchNext());
        EXPECT_TRUE(feed.next_is_prefetched());
        PROTOPAGE_ASSERT_OK(feed.PrefetchNext());  // Nothing to do.
      }
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(Tensor images, feed.Next());
      EXPECT_FALSE(feed.next_is_prefetched());
      EXPECT_EQ(ToHost(images), expected[step]) << which << " " << step;
      if ((which & 2) == 0) continue;
      feed.PutBack();
      EXPECT_TRUE(feed.next_is_prefetched());
      if ((which & 4) != 0) {
        PROTOPAGE_ASSERT_OK(feed.PrefetchNext());
      }
      PROTOPAGE_ASSERT_OK_AND_ASSIGN(images, feed.Next());
      EXPECT_EQ(ToHost(images), expected[step]) << which << " " << step;
    }
    PROTOPAGE_ASSERT_OK(feed.PrefetchNext());  // There is no other batch.
    EXPECT_FALSE(feed.next_is_prefetched());
    EXPECT_THAT(feed.Next(), StatusIs(absl::StatusCode::kFailedPrecondition, ""));
  }
}

TEST_F(ImageFeedTest, APrefetchedBatchLeavesTheCurrentOneAsItIs) {
  ImageFeed feed(&source_, Options(), backend_.get());
  feed.loader().Submit(0, {1, 2});
  feed.loader().Submit(1, {3, 4});
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor images, feed.Next());
  AwaitLoaded(feed);
  PROTOPAGE_ASSERT_OK(feed.PrefetchNext());
  PROTOPAGE_ASSERT_OK(backend_->FinishUploads());
  EXPECT_EQ(ToHost(images), Expected({{1, 2}})[0]);
}

TEST_F(ImageFeedTest, ADamagedImageIsAnErrorOfItsBatch) {
  source_.damaged = {4};
  ImageFeed feed(&source_, Options(), backend_.get());
  feed.loader().Submit(0, {1, 4});
  EXPECT_FALSE(feed.Next().ok());
}

TEST_F(ImageFeedTest, OnlyABatchThatWasTakenCanBePutBack) {
  ImageFeed feed(&source_, Options(), backend_.get());
  EXPECT_DEATH(feed.PutBack(), "State::kTaken");
}

}  // namespace
}  // namespace protopage
