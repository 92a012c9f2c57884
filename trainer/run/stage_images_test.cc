#include "protopage/trainer/run/stage_images.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/base/types.h"
#include "protopage/data/fake_source.h"

namespace protopage {
namespace {

std::unique_ptr<ImageSource> Source(std::vector<ClassId> labels) {
  return std::make_unique<FakeSource>(std::move(labels), /*num_classes=*/3);
}

TEST(StageImagesTest, OtherImagesAreRefused) {
  const StageImages begun = DescribeImages(*Source({0, 0, 1, 2}));
  EXPECT_EQ(begun.count, 4);
  PROTOPAGE_EXPECT_OK(CheckSameImages(begun, *Source({0, 0, 1, 2})));
  EXPECT_THAT(CheckSameImages(begun, *Source({0, 1, 2})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "the stage began with 4 images and would go on with 3: "));
  EXPECT_THAT(CheckSameImages(begun, *Source({0, 1, 1, 2})),
              StatusIs(absl::StatusCode::kInvalidArgument, "as their labels differ"));
}

// More labels than are taken at once.
TEST(StageImagesTest, EachLabelCounts) {
  std::vector<ClassId> labels(10000, 1);
  const StageImages begun = DescribeImages(*Source(labels));
  for (const size_t i : {0u, 4095u, 4096u, 9999u}) {
    std::vector<ClassId> other = labels;
    other[i] = 2;
    EXPECT_FALSE(CheckSameImages(begun, *Source(other)).ok()) << i;
  }
}

TEST(StageImagesTest, WhatAnEarlierVersionBeganWithIsNotKnown) {
  PROTOPAGE_EXPECT_OK(CheckSameImages({}, *Source({3})));
}

TEST(StageImagesTest, TheExampleOfTheHeader) {
  const std::unique_ptr<ImageSource> source = Source({0, 1});
  const auto example = [&]() -> absl::Status {
    const StageImages begun = DescribeImages(*source);
    PROTOPAGE_RETURN_IF_ERROR(CheckSameImages(begun, *source));
    return absl::OkStatus();
  };
  PROTOPAGE_EXPECT_OK(example());
}

}  // namespace
}  // namespace protopage
