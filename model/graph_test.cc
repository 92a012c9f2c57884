#include "protopage/model/graph.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/ops.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

// Every op once, in a chain.
void BuildChain(Graph* graph) {
  int x = graph->Input({9, 10, 2});
  x = graph->Add(Conv2d("conv_1", {.filters = 6, .stride = 1, .padding = Padding::kSame}), {x});
  x = graph->Add(BatchNorm("bn_1", {.relu = true}), {x});
  x = graph->Add(MaxPool2d("pool_1", {.size = 3, .stride = 2, .padding = Padding::kSame}), {x});
  x = graph->Add(Dropout("dropout_1"), {x});
  x = graph->Add(Conv2d("conv_2", {.filters = 8, .kernel = 2, .bias = false}), {x});
  x = graph->Add(BatchNorm("bn_2", {}), {x});
  x = graph->Add(Relu("relu_2"), {x});
  x = graph->Add(
      Conv2d("conv_3", {.filters = 8, .stride = 2, .padding = Padding::kSame, .relu = true}), {x});
  x = graph->Add(GlobalAveragePool("gap"), {x});
  x = graph->Add(Linear("linear", {.units = 5}), {x});
  x = graph->Add(L2Normalize("normalize"), {x});
  PROTOPAGE_ASSERT_OK(graph->Finish(x));
}

// Nodes that several others read: gradients are summed.
void BuildResidual(Graph* graph) {
  int x = graph->Input({6, 6, 1});
  x = graph->Add(Conv2d("stem", {.filters = 4, .padding = Padding::kSame}), {x});
  int y = graph->Add(BatchNorm("bn_a", {.relu = true}), {x});
  y = graph->Add(Conv2d("conv_a", {.filters = 4, .padding = Padding::kSame}), {y});
  const int shortcut = graph->Add(Conv2d("conv_s", {.filters = 4, .kernel = 1}), {x});
  const int sum = graph->Add(Add("sum"), {y, x, shortcut});
  int z = graph->Add(Relu("relu"), {sum});
  z = graph->Add(Add("twice"), {z, z});
  z = graph->Add(Add("again"), {z, sum});
  z = graph->Add(Flatten("flatten"), {z});
  z = graph->Add(Linear("linear", {.units = 3, .bias = false}), {z});
  PROTOPAGE_ASSERT_OK(graph->Finish(z));
}

struct NetCase {
  const char* name;
  void (*build)(Graph*);
  Shape batch_shape;
};

class GradientTest : public ::testing::TestWithParam<NetCase> {};

// Directional derivatives through the whole net. The loss is L = sum(output * r) in double
// for a fixed r. For each parameter and direction u of length 1, (L(w + h u) - L(w - h u)) /
// 2h must be g . u. Its error has two parts:
//  - rounding: the output is in float32, each value off by a few epsilon of its magnitude, so
//    L by c epsilon sum|output r| and the quotient by that / h; c = 64 leaves room for the
//    layers between;
//  - truncation (curvature, and the kinks of relu and max): the quotient changes by a
//    comparable amount when h is halved, so twice that change bounds it.
TEST_P(GradientTest, BackwardAgreesWithFiniteDifferences) {
  TestBackend backend;
  Graph graph(backend.get(), /*seed=*/3);
  GetParam().build(&graph);
  const Tensor images = backend.Random(GetParam().batch_shape, 1);
  const RunOptions run = {.training = true, .step = 5, .dropout = 0.3f};
  Tensor output;
  PROTOPAGE_ASSERT_OK(graph.Forward(images, run, &output));
  const Tensor d_output = backend.Random(output.shape(), 2);
  const std::vector<float> r = backend.ToHost(d_output);
  double magnitude = 0.0;
  const auto loss = [&]() {
    PROTOPAGE_EXPECT_OK(graph.Forward(images, run, &output));
    const std::vector<float> y = backend.ToHost(output);
    double sum = 0.0;
    magnitude = 0.0;
    for (size_t i = 0; i < y.size(); ++i) {
      sum += static_cast<double>(y[i]) * r[i];
      magnitude += std::abs(static_cast<double>(y[i]) * r[i]);
    }
    return sum;
  };
  PROTOPAGE_ASSERT_OK(graph.Backward(d_output));
  // The next Forward leaves the gradients alone; copies all the same.
  std::vector<std::vector<float>> gradients;
  double all_squares = 0.0;
  for (const Parameter* parameter : graph.parameters()) {
    gradients.push_back(parameter->gradient ? backend.ToHost(parameter->gradient)
                                            : std::vector<float>());
    for (const float g : gradients.back()) all_squares += static_cast<double>(g) * g;
  }
  ASSERT_GT(all_squares, 0.0);

  for (size_t p = 0; p < graph.parameters().size(); ++p) {
    const Parameter& parameter = *graph.parameters()[p];
    const std::vector<float>& g = gradients[p];
    if (g.empty()) continue;
    double g_norm = 0.0;
    for (const float value : g) g_norm += static_cast<double>(value) * value;
    g_norm = std::sqrt(g_norm);
    const std::vector<float> values = backend.ToHost(parameter.value);
    // Along the gradient, where the signal is largest, and in a random direction.
    for (const bool along : {true, false}) {
      if (along && g_norm < 1e-4 * std::sqrt(all_squares)) continue;  // A bias before batch norm.
      std::vector<double> u(g.size());
      RandomStream random(/*seed=*/1, RandomPurpose::kTest, p);
      double u_norm = 0.0;
      for (size_t i = 0; i < g.size(); ++i) {
        u[i] = along ? g[i] : random.Normal();
        u_norm += u[i] * u[i];
      }
      u_norm = std::sqrt(u_norm);
      double expected = 0.0;
      for (size_t i = 0; i < g.size(); ++i) {
        u[i] /= u_norm;
        expected += g[i] * u[i];
      }
      const auto quotient = [&](double h) {
        const auto loss_at = [&](double t) {
          std::vector<float> moved(values.size());
          for (size_t i = 0; i < values.size(); ++i) {
            moved[i] = static_cast<float>(values[i] + t * u[i]);
          }
          backend.Set(parameter.value, moved);
          return loss();
        };
        const double difference = loss_at(h) - loss_at(-h);
        backend.Set(parameter.value, values);
        return difference / (2.0 * h);
      };
      const double h = 4e-3;
      const double fine = quotient(h / 2.0);
      const double coarse = quotient(h);
      const double rounding = 64.0 * std::numeric_limits<float>::epsilon() * magnitude / (h / 2.0);
      const double tolerance = rounding + 2.0 * std::abs(fine - coarse);
      EXPECT_NEAR(fine, expected, tolerance) << parameter.name << (along ? " along g" : " random");
      // The bound must be able to tell right from wrong.
      if (along) {
        EXPECT_LT(tolerance, 0.1 * g_norm + rounding) << parameter.name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Nets, GradientTest,
                         ::testing::Values(NetCase{"Chain", BuildChain, {5, 9, 10, 2}},
                                           NetCase{"Residual", BuildResidual, {4, 6, 6, 1}}),
                         [](const auto& info) { return std::string(info.param.name); });

// Output and gradients of one training run, one after the other.
std::vector<float> RunOnce(TestBackend& backend, Graph& graph, const Tensor& images,
                           bool training) {
  Tensor output;
  const RunOptions run = {.training = training, .step = 9, .dropout = 0.3f};
  PROTOPAGE_EXPECT_OK(graph.Forward(images, run, &output));
  std::vector<float> result = backend.ToHost(output);
  if (!training) return result;
  PROTOPAGE_EXPECT_OK(graph.Backward(backend.Random(output.shape(), 7)));
  for (const Tensor& gradient : graph.gradients()) {
    const std::vector<float> values = backend.ToHost(gradient);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(GraphTest, BatchSizesMayFollowEachOtherInAnyOrder) {
  TestBackend backend;
  for (const auto& [build, image] :
       {std::pair(&BuildChain, Shape({9, 10, 2})), std::pair(&BuildResidual, Shape({6, 6, 1}))}) {
    Graph reused(backend.get(), 3);
    build(&reused);
    int64_t bytes = 0;
    for (const int64_t batch : {4, 7, 2, 7, 1, 4}) {
      const Tensor images = backend.Random({batch, image[0], image[1], image[2]}, batch);
      Graph fresh(backend.get(), 3);
      build(&fresh);
      EXPECT_EQ(RunOnce(backend, reused, images, true), RunOnce(backend, fresh, images, true));
      if (batch == 7) {
        if (bytes > 0) {
          EXPECT_EQ(reused.workspace_bytes(), bytes);
        }
        bytes = reused.workspace_bytes();
      } else if (bytes > 0) {
        EXPECT_EQ(reused.workspace_bytes(), bytes);  // Smaller batches live in the same memory.
      }
    }
  }
}

TEST(GraphTest, InferenceBetweenTrainingStepsDisturbsNothing) {
  TestBackend backend;
  Graph graph(backend.get(), 3);
  BuildChain(&graph);
  Graph other(backend.get(), 3);
  BuildChain(&other);
  const Tensor images = backend.Random({4, 9, 10, 2}, 1);
  const Tensor more = backend.Random({6, 9, 10, 2}, 2);
  const std::vector<float> first = RunOnce(backend, graph, images, true);
  const std::vector<float> inference = RunOnce(backend, graph, more, false);
  EXPECT_EQ(RunOnce(backend, graph, images, true), first);
  // Moving statistics have moved once more since.
  EXPECT_NE(RunOnce(backend, graph, more, false), inference);
  EXPECT_EQ(RunOnce(backend, other, images, true), first);
  EXPECT_EQ(RunOnce(backend, other, more, false), inference);
}

// A node that two others read, once through dropout where `dropout` says so.
void BuildBranches(Graph* graph, bool dropout) {
  const int x = graph->Input({6, 6, 1});
  const int y = graph->Add(Conv2d("stem", {.filters = 4, .padding = Padding::kSame}), {x});
  int z = dropout ? graph->Add(Dropout("drop_1"), {y}) : y;
  if (dropout) z = graph->Add(Dropout("drop_2"), {z});
  const int conv = graph->Add(Conv2d("conv", {.filters = 4, .padding = Padding::kSame}), {z});
  int sum = graph->Add(Add("sum"), {conv, y, z});
  sum = graph->Add(Flatten("flatten"), {sum});
  PROTOPAGE_ASSERT_OK(graph->Finish(graph->Add(Linear("linear", {.units = 3}), {sum})));
}

TEST(GraphTest, DropoutThatDropsNothingTakesNoMemoryAndNoPass) {
  TestBackend backend;
  const Tensor images = backend.Random({4, 6, 6, 1}, 1);
  Graph with(backend.get(), 3), without(backend.get(), 3);
  BuildBranches(&with, true);
  BuildBranches(&without, false);
  for (const RunOptions& run : {RunOptions{.training = false, .step = 9, .dropout = 0.5f},
                                RunOptions{.training = true, .step = 9}}) {
    std::vector<std::vector<float>> results;
    for (Graph* graph : {&with, &without}) {
      Tensor output;
      PROTOPAGE_ASSERT_OK(graph->Forward(images, run, &output));
      results.push_back(backend.ToHost(output));
      if (!run.training) continue;
      PROTOPAGE_ASSERT_OK(graph->Backward(backend.Random(output.shape(), 7)));
      for (const Tensor& gradient : graph->gradients()) {
        const std::vector<float> values = backend.ToHost(gradient);
        results.back().insert(results.back().end(), values.begin(), values.end());
      }
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(with.workspace_bytes(), without.workspace_bytes());
  }
}

TEST(GraphTest, TheRateOfDropoutMayChangeFromRunToRun) {
  TestBackend backend;
  const Tensor images = backend.Random({4, 9, 10, 2}, 1);
  Graph reused(backend.get(), 3);
  BuildChain(&reused);
  std::vector<std::vector<float>> outputs;
  for (const float rate : {0.3f, 0.0f, 0.6f, 0.3f}) {
    const RunOptions run = {.training = true, .step = 9, .dropout = rate};
    Graph fresh(backend.get(), 3);
    BuildChain(&fresh);
    for (Graph* graph : {&reused, &fresh}) {
      Tensor output;
      PROTOPAGE_ASSERT_OK(graph->Forward(images, run, &output));
      outputs.push_back(backend.ToHost(output));
    }
    EXPECT_EQ(outputs[outputs.size() - 2], outputs.back()) << rate;
  }
  EXPECT_EQ(outputs[6], outputs[0]);
  EXPECT_NE(outputs[2], outputs[0]);
  EXPECT_NE(outputs[4], outputs[0]);
  Tensor output;
  EXPECT_THAT(reused.Forward(images, {.training = true, .dropout = 1.0f}, &output),
              StatusIs(absl::StatusCode::kInvalidArgument, "dropout is 1, must be in [0, 1)"));
}

TEST(GraphTest, MemoryIsUsedAgain) {
  TestBackend backend;
  Graph graph(backend.get(), 3);
  int x = graph.Input({16});
  for (int i = 0; i < 20; ++i) x = graph.Add(Linear("l" + std::to_string(i), {.units = 16}), {x});
  PROTOPAGE_ASSERT_OK(graph.Finish(x));
  Tensor output;
  const Tensor images = backend.Random({8, 16}, 1);
  PROTOPAGE_ASSERT_OK(graph.Forward(images, {}, &output));
  // Inference holds an input and an output at a time.
  EXPECT_EQ(graph.workspace_bytes(), 2 * 8 * 16 * 4);
  PROTOPAGE_ASSERT_OK(graph.Forward(images, {.training = true}, &output));
  // Training keeps 21 activations; the gradients behind the last one's take the place of
  // activations that are no longer read.
  EXPECT_EQ(graph.workspace_bytes(), 22 * 8 * 16 * 4);
}

TEST(GraphTest, Uint8ImagesAreScaledAndShifted) {
  TestBackend backend(1);
  Graph graph(backend.get(), 1);
  const int x = graph.Input({1, 2, 1}, /*scale=*/0.5f, /*shift=*/-1.0f);
  PROTOPAGE_ASSERT_OK(graph.Finish(graph.Add(Flatten("f"), {x})));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(Tensor images, backend->Allocate(DType::kUint8, {2, 1, 2, 1}));
  const uint8_t pixels[] = {0, 1, 128, 255};
  PROTOPAGE_ASSERT_OK(backend->CopyToDevice(pixels, images));
  Tensor output;
  PROTOPAGE_ASSERT_OK(graph.Forward(images, {}, &output));
  EXPECT_EQ(backend.ToHost(output), (std::vector<float>{-1.0f, -0.5f, 63.0f, 126.5f}));
}

TEST(GraphTest, BackwardNeedsATrainingForward) {
  TestBackend backend(1);
  Graph graph(backend.get(), 3);
  BuildResidual(&graph);
  const Tensor d = backend.Random({2, 3}, 1);
  EXPECT_THAT(graph.Backward(d), StatusIs(absl::StatusCode::kFailedPrecondition, "Forward"));
  Tensor output;
  const Tensor images = backend.Random({2, 6, 6, 1}, 1);
  PROTOPAGE_ASSERT_OK(graph.Forward(images, {}, &output));
  EXPECT_THAT(graph.Backward(d), StatusIs(absl::StatusCode::kFailedPrecondition, "training"));
  PROTOPAGE_ASSERT_OK(graph.Forward(images, {.training = true}, &output));
  EXPECT_THAT(graph.Backward(backend.Random({3, 3}, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, "d_output is [3, 3], must be [2, 3]"));
}

TEST(GraphTest, ForwardNamesTheShapeItTakes) {
  TestBackend backend(1);
  Graph graph(backend.get(), 3);
  BuildResidual(&graph);
  Tensor output;
  EXPECT_THAT(graph.Forward(backend.Random({2, 6, 5, 1}, 1), {}, &output),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "images are [2, 6, 5, 1], must be uint8 or float32 of shape [B, 6, 6, 1]"));
  EXPECT_THAT(graph.Forward(Tensor(), {}, &output),
              StatusIs(absl::StatusCode::kInvalidArgument, "images are absent"));
}

TEST(GraphTest, FinishFindsErrorsOfBuilding) {
  TestBackend backend(1);
  {
    Graph graph(backend.get(), 1);
    int x = graph.Input({4});
    x = graph.Add(Relu("a"), {x});
    x = graph.Add(Relu("a"), {x});
    EXPECT_THAT(graph.Finish(x),
                StatusIs(absl::StatusCode::kInvalidArgument, "two ops of the graph are named a"));
  }
  {
    Graph graph(backend.get(), 1);
    const int x = graph.Input({4});
    graph.Add(Relu("loose"), {x});
    const int y = graph.Add(Relu("b"), {x});
    EXPECT_THAT(graph.Finish(y),
                StatusIs(absl::StatusCode::kInvalidArgument, "loose leads nowhere"));
  }
}

TEST(GraphTest, InitialValuesAreGlorotUniformAndKeyedBySeed) {
  TestBackend backend(1);
  const auto kernel = [&](uint64_t seed) {
    Graph graph(backend.get(), seed);
    const int x = graph.Input({8, 8, 16});
    PROTOPAGE_EXPECT_OK(graph.Finish(graph.Add(Conv2d("c", {.filters = 32}), {x})));
    EXPECT_EQ(graph.parameters()[0]->name, "c/kernel");
    EXPECT_EQ(graph.parameters()[1]->name, "c/bias");
    EXPECT_EQ(backend.ToHost(graph.parameters()[1]->value), std::vector<float>(32, 0.0f));
    return backend.ToHost(graph.parameters()[0]->value);
  };
  const std::vector<float> values = kernel(1);
  EXPECT_EQ(kernel(1), values);
  EXPECT_NE(kernel(2), values);
  const double limit = std::sqrt(6.0 / (9 * 16 + 9 * 32));
  double squares = 0.0;
  for (const float value : values) {
    EXPECT_LE(std::abs(value), limit * 1.000001);
    squares += static_cast<double>(value) * value;
  }
  // The variance of a uniform is limit^2 / 3; 4608 values give it to a few percent.
  EXPECT_NEAR(squares / values.size(), limit * limit / 3.0, 0.05 * limit * limit / 3.0);
}

absl::Status Example(Backend* backend, const Tensor& images, const Tensor& d_y, uint64_t step,
                     Shape* shape) {
  Graph graph(backend, /*seed=*/1);
  int x = graph.Input({8, 8, 1});
  x = graph.Add(Conv2d("conv", {.filters = 4, .relu = true}), {x});
  x = graph.Add(GlobalAveragePool("pool"), {x});
  PROTOPAGE_RETURN_IF_ERROR(graph.Finish(x));  // The first error of building.

  Tensor y;  // [B, 4]
  PROTOPAGE_RETURN_IF_ERROR(graph.Forward(images, {.training = true, .step = step}, &y));
  PROTOPAGE_RETURN_IF_ERROR(graph.Backward(d_y));  // Fills the gradients of graph.parameters().
  *shape = y.shape();
  return absl::OkStatus();
}

TEST(GraphTest, TheExampleOfTheHeader) {
  TestBackend backend;
  Shape shape;
  PROTOPAGE_ASSERT_OK(Example(backend.get(), backend.Random({5, 8, 8, 1}, 1),
                              backend.Random({5, 4}, 2), /*step=*/1, &shape));
  EXPECT_EQ(shape, Shape({5, 4}));
}

}  // namespace
}  // namespace protopage
