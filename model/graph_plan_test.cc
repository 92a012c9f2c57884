#include "protopage/model/graph_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/ops.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

using ::testing::ElementsAre;

// Ops without parameters have none to make.
class NoParameters : public ParameterFactory {
 public:
  absl::StatusOr<Parameter*> Make(absl::string_view, const Shape&, Initializer, bool, bool, int64_t,
                                  int64_t) override {
    return absl::UnimplementedError("no parameters here");
  }
  Backend* backend() override { return nullptr; }
  uint64_t position() const override { return 0; }
  uint64_t seed() const override { return 0; }
};

// The nodes of a graph of images of 16 floats (one line of 64 bytes). All but the input need
// gradients.
class Nodes {
 public:
  Nodes() { nodes_.push_back({nullptr, {}, {16}, false}); }

  int Add(std::unique_ptr<Op> op, const std::vector<int>& inputs) {
    std::vector<Shape> shapes;
    for (const int input : inputs) shapes.push_back(nodes_[input].image_shape);
    NoParameters factory;
    const Shape shape = op->Build(shapes, factory).value();
    nodes_.push_back({std::move(op), inputs, shape, true});
    return static_cast<int>(nodes_.size()) - 1;
  }
  const std::vector<GraphNode>& get() const { return nodes_; }

 private:
  std::vector<GraphNode> nodes_;
};

absl::Status Example(const std::vector<GraphNode>& nodes, int output, const RunOptions& run,
                     Backend* backend, int64_t batch, const std::vector<float>& input,
                     Tensor* result) {
  GraphPlan plan(nodes, output, run, backend->activation_dtype());
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor memory,
                             backend->Allocate(DType::kUint8, {plan.image_bytes() * batch}));
  plan.Bind(memory, batch);
  PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(input.data(), plan.tensors(0).output));
  for (const int i : plan.nodes()) {
    if (i == 0) continue;  // The input.
    PROTOPAGE_RETURN_IF_ERROR(nodes[i].op->Forward(backend, run, plan.tensors(i)));
  }
  *result = plan.tensors(output).output;
  return absl::OkStatus();
}

TEST(GraphPlanTest, TheExampleOfTheHeader) {
  Nodes nodes;
  const int relu = nodes.Add(Relu("relu"), {0});
  const int sum = nodes.Add(Add("sum"), {relu, relu});
  TestBackend backend;
  std::vector<float> input(32, -1.0f), expected(32, 0.0f);
  input[5] = 1.5f, expected[5] = 3.0f;
  Tensor result;
  PROTOPAGE_ASSERT_OK(Example(nodes.get(), sum, {}, backend.get(), 2, input, &result));
  EXPECT_EQ(backend.ToHost(result), expected);
}

TEST(GraphPlanTest, InferenceHoldsAnInputAndAnOutputAtATime) {
  Nodes nodes;
  int x = 0;
  for (const char* name : {"a", "b", "c", "d"}) x = nodes.Add(Relu(name), {x});
  EXPECT_EQ(GraphPlan(nodes.get(), x, {}, DType::kFloat32).image_bytes(), 2 * 64);
  // Training keeps the four outputs, which Backward reads; the gradients of two neighbours are in
  // use at one time.
  RunOptions run;
  run.training = true;
  EXPECT_EQ(GraphPlan(nodes.get(), x, run, DType::kFloat32).image_bytes(), 6 * 64);
}

TEST(GraphPlanTest, AnIdentityDoesNotRun) {
  Nodes nodes;
  const int a = nodes.Add(Relu("a"), {0});
  const int dropout = nodes.Add(Dropout("dropout"), {a});
  const int b = nodes.Add(Relu("b"), {dropout});
  RunOptions run;
  run.training = true;
  EXPECT_THAT(GraphPlan(nodes.get(), b, run, DType::kFloat32).nodes(), ElementsAre(0, a, b));
  run.dropout = 0.5f;
  EXPECT_THAT(GraphPlan(nodes.get(), b, run, DType::kFloat32).nodes(),
              ElementsAre(0, a, dropout, b));
}

TEST(GraphPlanTest, TheGradientsOfAllConsumersAreAdded) {
  Nodes nodes;
  const int a = nodes.Add(Relu("a"), {0});
  const int b = nodes.Add(Relu("b"), {a});
  const int sum = nodes.Add(Add("sum"), {a, b});
  RunOptions run;
  run.training = true;
  GraphPlan plan(nodes.get(), sum, run, DType::kFloat32);
  TestBackend backend;
  plan.Bind(backend->Allocate(DType::kUint8, {plan.image_bytes()}).value(), 1);
  // `sum` runs backward first and writes straight to the gradient of `a`; `b` adds to it.
  EXPECT_EQ(plan.tensors(sum).d_inputs[0].f32(), plan.tensors(a).d_output.f32());
  EXPECT_EQ(plan.accumulations(sum).size(), 0u);
  ASSERT_EQ(plan.accumulations(b).size(), 1u);
  EXPECT_EQ(plan.accumulations(b)[0].to.f32(), plan.tensors(a).d_output.f32());
  EXPECT_EQ(plan.accumulations(b)[0].from.f32(), plan.tensors(b).d_inputs[0].f32());
}

}  // namespace
}  // namespace protopage
