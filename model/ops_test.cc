#include "protopage/model/ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/philox.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/graph.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

// The shape that one op gives for images of `shape`, or the error of building it.
absl::StatusOr<Shape> InferredShape(std::unique_ptr<Op> op, const Shape& shape) {
  TestBackend backend(1);
  Graph graph(backend.get(), /*seed=*/1);
  const int x = graph.Input(shape);
  const int y = graph.Add(std::move(op), {x});
  const absl::Status status = graph.Finish(y);
  if (!status.ok()) return status;
  return graph.nodes()[y].image_shape;
}

// The output of a graph of one op for one batch.
std::vector<float> Output(TestBackend& backend, std::unique_ptr<Op> op, const Tensor& x,
                          const RunOptions& run) {
  Shape image;
  for (int i = 1; i < x.shape().rank(); ++i) image.Append(x.shape()[i]);
  Graph graph(backend.get(), /*seed=*/1);
  const int input = graph.Input(image);
  const int node = graph.Add(std::move(op), {input});
  PROTOPAGE_EXPECT_OK(graph.Finish(node));
  Tensor y;
  PROTOPAGE_EXPECT_OK(graph.Forward(x, run, &y));
  return backend.ToHost(y);
}

TEST(OpsTest, ConvolutionInfersSameAndValidShapesWithStrides) {
  const Shape in = {7, 8, 3};
  const auto conv = [](int64_t kernel, int64_t stride, Padding padding) {
    return Conv2d("c", {.filters = 5, .kernel = kernel, .stride = stride, .padding = padding});
  };
  EXPECT_EQ(*InferredShape(conv(3, 1, Padding::kSame), in), Shape({7, 8, 5}));
  EXPECT_EQ(*InferredShape(conv(3, 1, Padding::kValid), in), Shape({5, 6, 5}));
  EXPECT_EQ(*InferredShape(conv(3, 2, Padding::kSame), in), Shape({4, 4, 5}));
  EXPECT_EQ(*InferredShape(conv(3, 2, Padding::kValid), in), Shape({3, 3, 5}));
  EXPECT_EQ(*InferredShape(conv(1, 2, Padding::kSame), in), Shape({4, 4, 5}));
  EXPECT_EQ(*InferredShape(conv(7, 2, Padding::kValid), in), Shape({1, 1, 5}));
}

TEST(OpsTest, PoolingAndReshapingInferShapes) {
  EXPECT_EQ(*InferredShape(MaxPool2d("p", {}), {7, 8, 3}), Shape({3, 4, 3}));
  EXPECT_EQ(*InferredShape(MaxPool2d("p", {.size = 3, .stride = 2, .padding = Padding::kSame}),
                           {7, 8, 3}),
            Shape({4, 4, 3}));
  EXPECT_EQ(*InferredShape(GlobalAveragePool("g"), {7, 8, 3}), Shape({3}));
  EXPECT_EQ(*InferredShape(Flatten("f"), {7, 8, 3}), Shape({168}));
  EXPECT_EQ(*InferredShape(Linear("l", {.units = 4}), {6}), Shape({4}));
  EXPECT_EQ(*InferredShape(L2Normalize("n"), {6}), Shape({6}));
}

TEST(OpsTest, ShapesThatDoNotFitAreNamed) {
  EXPECT_THAT(InferredShape(Conv2d("conv_9", {.filters = 5, .kernel = 9}), {7, 8, 3}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "Conv2D conv_9: input is [7, 8, 3] without the batch, must be at least 9"));
  EXPECT_THAT(InferredShape(Linear("head", {.units = 4}), {7, 8, 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, "Dense head"));
  EXPECT_THAT(InferredShape(Add("sum"), {3}),
              StatusIs(absl::StatusCode::kInvalidArgument, "two or more of one shape"));
}

TEST(OpsTest, SamePaddingPutsTheOddPixelAfter) {
  // One row 1 2 3 4, kernel of three ones, stride 2: padding 1 in all, 0 before and 1 after.
  TestBackend backend(1);
  Graph graph(backend.get(), 1);
  const int x = graph.Input({1, 4, 1});
  const int y = graph.Add(
      Conv2d("c", {.filters = 1, .kernel = 3, .stride = 2, .padding = Padding::kSame}), {x});
  PROTOPAGE_ASSERT_OK(graph.Finish(y));
  backend.Set(graph.parameters()[0]->value, {0, 0, 0, 1, 1, 1, 0, 0, 0});
  Tensor output;
  PROTOPAGE_ASSERT_OK(graph.Forward(backend.FromHost({1, 1, 4, 1}, {1, 2, 3, 4}), {}, &output));
  EXPECT_THAT(backend.ToHost(output), ElementsAre(6, 7));
}

TEST(OpsTest, DropoutIsTheIdentityOutsideTrainingAndKeyedByStep) {
  TestBackend backend(1);
  const Tensor x = backend.Random({4, 64}, 1);
  const std::vector<float> values = backend.ToHost(x);
  EXPECT_EQ(Output(backend, Dropout("d"), x, {.training = false, .dropout = 0.5f}), values);
  EXPECT_EQ(Output(backend, Dropout("d"), x, {.training = true, .step = 3}), values);  // Rate 0.
  const RunOptions step3 = {.training = true, .step = 3, .dropout = 0.5f};
  const std::vector<float> dropped = Output(backend, Dropout("d"), x, step3);
  EXPECT_EQ(Output(backend, Dropout("d"), x, step3), dropped);
  EXPECT_NE(Output(backend, Dropout("d"), x, {.training = true, .step = 4, .dropout = 0.5f}),
            dropped);
  int zeros = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (dropped[i] == 0.0f) {
      ++zeros;
    } else {
      EXPECT_EQ(dropped[i], 2.0f * values[i]);
    }
  }
  // 256 draws of probability 1/2: five standard deviations of 8.
  EXPECT_NEAR(zeros, 128, 40);
}

TEST(OpsTest, DropoutIsKeyedByTheSeedAndThePositionInTheGraph) {
  TestBackend backend(1);
  const Tensor x = backend.Random({4, 64}, 1);
  Graph graph(backend.get(), /*seed=*/5);
  const int input = graph.Input({64});
  const int relu = graph.Add(Relu("r"), {input});
  const int sum = graph.Add(Add("s"), {relu, input});
  PROTOPAGE_ASSERT_OK(graph.Finish(graph.Add(Dropout("d"), {sum})));  // Node 3.
  Tensor y;
  PROTOPAGE_ASSERT_OK(graph.Forward(x, {.training = true, .step = 8, .dropout = 0.25f}, &y));
  const PhiloxBlock block = Philox4x32(RandomKey(5, RandomPurpose::kDropout), 3, 0);
  const uint64_t key = (uint64_t{block.word[1]} << 32) | block.word[0];
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor by_hand,
                                 backend->Allocate(DType::kFloat32, x.shape()));
  PROTOPAGE_ASSERT_OK(backend->ReluForward(x, by_hand));
  PROTOPAGE_ASSERT_OK(backend->Add(by_hand, x, by_hand));
  PROTOPAGE_ASSERT_OK(backend->Dropout(0.25f, {.key = key, .step = 8}, by_hand, by_hand));
  EXPECT_EQ(backend.ToHost(y), backend.ToHost(by_hand));
}

TEST(OpsTest, TwoDropoutsOfOneGraphDrawDifferentNumbers) {
  TestBackend backend(1);
  const Tensor ones = backend.FromHost({1, 256}, std::vector<float>(256, 1.0f));
  Graph graph(backend.get(), 1);
  const int x = graph.Input({256});
  const int a = graph.Add(Dropout("a"), {x});
  const int b = graph.Add(Dropout("b"), {x});
  const int y = graph.Add(Add("y"), {a, b});
  PROTOPAGE_ASSERT_OK(graph.Finish(y));
  Tensor output;
  PROTOPAGE_ASSERT_OK(graph.Forward(ones, {.training = true, .dropout = 0.5f}, &output));
  int one_of_two = 0;
  for (const float value : backend.ToHost(output)) one_of_two += value == 2.0f;
  EXPECT_NEAR(one_of_two, 128, 40);
}

TEST(OpsTest, TheExampleOfTheHeader) {
  TestBackend backend(1);
  Graph graph(backend.get(), /*seed=*/1);
  int x = graph.Input({32, 32, 3});
  x = graph.Add(Conv2d("conv_1", {.filters = 32, .padding = Padding::kSame}), {x});
  x = graph.Add(BatchNorm("bn_conv1", {.relu = true}), {x});
  PROTOPAGE_ASSERT_OK(graph.Finish(x));
  EXPECT_EQ(graph.nodes()[x].image_shape, Shape({32, 32, 32}));
}

}  // namespace
}  // namespace protopage
