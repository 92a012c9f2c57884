#include "protopage/model/graph.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {

class Graph::Factory : public ParameterFactory {
 public:
  Factory(Graph* graph, std::string op_name, uint64_t position)
      : graph_(graph), op_name_(std::move(op_name)), position_(position) {}

  absl::StatusOr<Parameter*> Make(absl::string_view name, const Shape& shape,
                                  Initializer initializer, bool trainable, bool decay,
                                  int64_t fan_in, int64_t fan_out) override {
    auto parameter = std::make_unique<Parameter>();
    parameter->name = absl::StrCat(op_name_, "/", name);
    parameter->trainable = trainable;
    parameter->decay = decay;
    Backend* backend = graph_->backend_;
    PROTOPAGE_ASSIGN_OR_RETURN(parameter->value, backend->Allocate(DType::kFloat32, shape));
    if (trainable) {
      PROTOPAGE_ASSIGN_OR_RETURN(parameter->gradient, backend->Allocate(DType::kFloat32, shape));
    }
    switch (initializer) {
      case Initializer::kZeros:
        break;  // As allocated.
      case Initializer::kOnes:
        PROTOPAGE_RETURN_IF_ERROR(backend->Fill(parameter->value, 1.0f));
        break;
      case Initializer::kGlorotUniform: {
        const float limit = std::sqrt(6.0f / static_cast<float>(fan_in + fan_out));
        RandomStream random(graph_->seed_, RandomPurpose::kParameterInit,
                            graph_->parameters_.size());
        std::vector<float> values(shape.num_elements());
        for (float& value : values) value = random.Uniform(-limit, limit);
        PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(values.data(), parameter->value));
        break;
      }
    }
    graph_->parameters_.push_back(parameter.get());
    graph_->owned_parameters_.push_back(std::move(parameter));
    return graph_->parameters_.back();
  }

  Backend* backend() override { return graph_->backend_; }
  uint64_t position() const override { return position_; }
  uint64_t seed() const override { return graph_->seed_; }

 private:
  Graph* graph_;
  std::string op_name_;
  uint64_t position_;
};

Graph::Graph(Backend* backend, uint64_t seed) : backend_(backend), seed_(seed) {}
Graph::~Graph() = default;

int Graph::Input(const Shape& image_shape, float scale, float shift) {
  PROTOPAGE_CHECK(nodes_.empty());
  input_scale_ = scale;
  input_shift_ = shift;
  nodes_.push_back({nullptr, {}, image_shape, false});
  infos_.push_back({"input", "InputLayer", image_shape, {}, 0});
  return 0;
}

int Graph::Add(std::unique_ptr<Op> op, const std::vector<int>& inputs) {
  PROTOPAGE_CHECK(!nodes_.empty() && output_ < 0);
  const int id = static_cast<int>(nodes_.size());
  const size_t first_parameter = parameters_.size();
  GraphNode node;
  node.inputs = inputs;
  std::vector<Shape> shapes;
  for (const int input : inputs) {
    PROTOPAGE_CHECK(input >= 0 && input < id);
    shapes.push_back(nodes_[input].image_shape);
    node.needs_gradient = node.needs_gradient || nodes_[input].needs_gradient;
  }
  if (build_status_.ok()) {
    for (const NodeInfo& info : infos_) {
      if (info.name == op->name()) {
        build_status_ =
            absl::InvalidArgumentError(absl::StrCat("two ops of the graph are named ", op->name()));
      }
    }
  }
  if (build_status_.ok()) {
    Factory factory(this, op->name(), id);
    absl::StatusOr<Shape> shape = op->Build(shapes, factory);
    if (shape.ok()) {
      node.image_shape = *std::move(shape);
    } else {
      build_status_ = std::move(shape).status();
    }
  }
  NodeInfo info = {op->name(), std::string(op->type()), node.image_shape, inputs, 0};
  for (size_t i = first_parameter; i < parameters_.size(); ++i) {
    node.needs_gradient = node.needs_gradient || parameters_[i]->gradient;
    info.num_parameters += parameters_[i]->value.num_elements();
  }
  node.op = std::move(op);
  nodes_.push_back(std::move(node));
  infos_.push_back(std::move(info));
  return id;
}

absl::Status Graph::Finish(int output) {
  PROTOPAGE_CHECK(output_ < 0);
  PROTOPAGE_RETURN_IF_ERROR(build_status_);
  std::vector<bool> used(nodes_.size(), false);
  for (const GraphNode& node : nodes_) {
    for (const int input : node.inputs) used[input] = true;
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (used[i] == (static_cast<int>(i) == output)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "node ", infos_[i].name,
          used[i] ? " is the output and also the input of another" : " leads nowhere"));
    }
  }
  output_ = output;
  return absl::OkStatus();
}

absl::StatusOr<GraphPlan*> Graph::GetPlan(int64_t batch, const RunOptions& run) {
  const PlanKey key = {batch, run.training, run.drops()};
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second.get();
  auto plan = std::make_unique<GraphPlan>(nodes_, output_, run, backend_->activation_dtype());
  const int64_t bytes = plan->image_bytes() * batch;
  if (bytes > memory_.bytes()) {
    plans_.clear();  // They hold the memory that is about to be replaced.
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor memory, memory_.Get(backend_, DType::kUint8, {bytes}));
  plan->Bind(memory, batch);
  return plans_.emplace(key, std::move(plan)).first->second.get();
}

absl::Status Graph::Forward(const Tensor& images, const RunOptions& run, Tensor* output) {
  PROTOPAGE_CHECK(output_ >= 0);
  last_forward_ = nullptr;
  const Shape& expected = nodes_[0].image_shape;
  const int64_t batch = images && images.shape().rank() > 0 ? images.shape()[0] : 0;
  if (batch < 1 || images.shape() != WithBatch(batch, expected) ||
      images.dtype() == DType::kInt32) {
    return absl::InvalidArgumentError(
        absl::StrCat("images are ", images ? images.shape().ToString() : "absent",
                     ", must be uint8 or float32 of shape [B, ", expected.ToString().substr(1)));
  }
  if (!(run.dropout >= 0.0f && run.dropout < 1.0f)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dropout is ", run.dropout, ", must be in [0, 1)"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(GraphPlan * plan, GetPlan(batch, run));
  const Tensor& input = plan->tensors(0).output;
  if (images.dtype() == DType::kUint8) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->ImagesToFloat(images, input_scale_, input_shift_, input));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(images, input));
  }
  for (const int i : plan->nodes()) {
    if (i == 0) continue;
    PROTOPAGE_RETURN_IF_ERROR(
        WithContext(nodes_[i].op->Forward(backend_, run, plan->tensors(i)), nodes_[i].op->name()));
  }
  *output = plan->tensors(output_).output;
  if (run.training) last_forward_ = plan;
  last_run_ = run;
  return absl::OkStatus();
}

absl::Status Graph::NoteForward(int64_t batch, const RunOptions& run) {
  PROTOPAGE_ASSIGN_OR_RETURN(GraphPlan * plan, GetPlan(batch, run));
  last_forward_ = run.training ? plan : nullptr;
  last_run_ = run;
  return absl::OkStatus();
}

absl::Status Graph::Backward(const Tensor& d_output) {
  if (!last_forward_) {
    return absl::FailedPreconditionError("Backward needs a Forward with training before it");
  }
  GraphPlan* plan = std::exchange(last_forward_, nullptr);
  OpTensors& last = plan->tensors(output_);
  if (!d_output || d_output.shape() != last.output.shape() ||
      d_output.dtype() != last.output.dtype()) {
    return absl::InvalidArgumentError(
        absl::StrCat("d_output is ", d_output ? d_output.shape().ToString() : "absent",
                     ", must be ", last.output.shape().ToString()));
  }
  last.d_output = d_output;
  for (auto at = plan->nodes().rbegin(); at != plan->nodes().rend(); ++at) {
    const int i = *at;
    if (i == 0 || !nodes_[i].needs_gradient) continue;
    PROTOPAGE_RETURN_IF_ERROR(WithContext(
        nodes_[i].op->Backward(backend_, last_run_, plan->tensors(i)), nodes_[i].op->name()));
    for (const GraphPlan::Accumulation& sum : plan->accumulations(i)) {
      PROTOPAGE_RETURN_IF_ERROR(backend_->Axpy(1.0f, sum.from, sum.to));
    }
  }
  last.d_output = Tensor();
  return absl::OkStatus();
}

std::vector<Tensor> Graph::gradients() const {
  std::vector<Tensor> result;
  for (const Parameter* parameter : parameters_) {
    if (parameter->trainable && parameter->gradient) result.push_back(parameter->gradient);
  }
  return result;
}

void Graph::State(StateVisitor& v) const {
  for (const Parameter* parameter : parameters_) v.Array(parameter->name, parameter->value);
}

int64_t Graph::workspace_bytes() const { return memory_.bytes(); }

}  // namespace protopage
