#include "protopage/model/graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// Pieces of memory start at multiples of this many bytes of an image, which keeps every tensor of
// any batch size on a line.
constexpr int64_t kAlignment = 64;

Shape WithBatch(int64_t batch, const Shape& image_shape) {
  Shape shape = {batch};
  for (int i = 0; i < image_shape.rank(); ++i) shape.Append(image_shape[i]);
  return shape;
}

// Memory for things that are alive in an interval of time: two that meet in time do not overlap
// in space. Greedy: the largest first, each at the lowest place that is free.
class SpacePlanner {
 public:
  // [begin, end], both inclusive. Returns the number of the piece.
  int Add(int begin, int end, int64_t size) {
    const int64_t aligned = (size + kAlignment - 1) / kAlignment * kAlignment;
    pieces_.push_back({begin, end, aligned, 0});
    return static_cast<int>(pieces_.size()) - 1;
  }

  void Place() {
    std::vector<int> order(pieces_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [this](int a, int b) {
      // Of one size the earliest first, which is the best order when all are of one size.
      return std::tuple(-pieces_[a].size, pieces_[a].begin, a) <
             std::tuple(-pieces_[b].size, pieces_[b].begin, b);
    });
    std::vector<int> placed;  // By offset.
    for (const int i : order) {
      int64_t offset = 0;
      for (const int j : placed) {
        if (pieces_[j].end < pieces_[i].begin || pieces_[i].end < pieces_[j].begin) continue;
        if (offset + pieces_[i].size <= pieces_[j].offset) break;
        offset = std::max(offset, pieces_[j].offset + pieces_[j].size);
      }
      pieces_[i].offset = offset;
      total_ = std::max(total_, offset + pieces_[i].size);
      placed.insert(
          std::upper_bound(placed.begin(), placed.end(), i,
                           [this](int a, int b) { return pieces_[a].offset < pieces_[b].offset; }),
          i);
    }
  }

  int64_t offset(int piece) const { return pieces_[piece].offset; }
  int64_t total() const { return total_; }

 private:
  struct Piece {
    int begin, end;
    int64_t size;
    int64_t offset;
  };
  std::vector<Piece> pieces_;
  int64_t total_ = 0;
};

}  // namespace

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

struct Graph::Plan {
  // A gradient that another consumer of the same node has begun: to += from.
  struct Accumulation {
    Tensor from, to;
  };
  bool training = false;
  std::vector<int> nodes;                                // That run, in order; [0] is the input.
  std::vector<OpTensors> tensors;                        // By node; [0].output is the input.
  std::vector<std::vector<Accumulation>> accumulations;  // By node, after its Backward.
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
  Node node;
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
  for (const Node& node : nodes_) {
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

absl::StatusOr<Graph::Plan*> Graph::GetPlan(int64_t batch, const RunOptions& run) {
  const bool training = run.training;
  const PlanKey key = {batch, training, run.drops()};
  std::unique_ptr<Plan>& entry = plans_[key];
  if (entry) return entry.get();
  auto plan = std::make_unique<Plan>();

  // An identity takes no part: its readers read its input.
  const int n = static_cast<int>(nodes_.size());
  std::vector<int> source(n);               // The node whose tensor is this node's output.
  std::vector<std::vector<int>> inputs(n);  // By node, of those that run.
  for (int i = 0; i < n; ++i) {
    const Node& node = nodes_[i];
    if (node.op && i != output_ && node.op->IsIdentity(run)) {
      source[i] = source[node.inputs[0]];
      continue;
    }
    source[i] = i;
    for (const int input : node.inputs) inputs[i].push_back(source[input]);
    plan->nodes.push_back(i);
  }

  // Time: node i runs forward at i and backward at 2n - 1 - i. An activation lives from its forward
  // to its last reader, a gradient from its first writer to the backward of its node.
  const auto backward_time = [n](int i) { return 2 * n - 1 - i; };
  std::vector<int> activation_end(n);
  std::vector<int> last_consumer(n, -1);
  for (const int i : plan->nodes) {
    const Node& node = nodes_[i];
    activation_end[i] = i;
    for (const int input : inputs[i]) {
      activation_end[input] = std::max(activation_end[input], i);
      last_consumer[input] = i;
    }
    if (!training || !node.needs_gradient) continue;
    if (node.op->backward_reads_output()) activation_end[i] = backward_time(i);
    if (node.op->backward_reads_inputs()) {
      for (const int input : inputs[i]) {
        activation_end[input] = std::max(activation_end[input], backward_time(i));
      }
    }
  }
  activation_end[output_] = 2 * n;  // The caller reads it until the next run.

  struct Piece {
    Tensor* tensor;
    int number;
    DType dtype;
    Shape image_shape;
  };
  SpacePlanner space;  // Bytes of an image.
  std::vector<Piece> pieces;
  const auto add = [&](Tensor* tensor, DType dtype, const Shape& image_shape, int begin, int end) {
    const int64_t bytes = image_shape.num_elements() * BytesOf(dtype);
    pieces.push_back({tensor, space.Add(begin, end, bytes), dtype, image_shape});
  };
  // Of a node's output and its gradient.
  const auto dtype_of = [&](int i) {
    return nodes_[i].image_shape.rank() == 3 ? backend_->activation_dtype() : DType::kFloat32;
  };

  plan->training = training;
  plan->tensors.resize(n);
  plan->accumulations.resize(n);
  // The vectors get their final sizes first: `pieces` points into them.
  for (const int i : plan->nodes) {
    OpTensors& t = plan->tensors[i];
    t.inputs.resize(inputs[i].size());
    t.d_inputs.resize(inputs[i].size());
    if (nodes_[i].op) t.saved.resize(nodes_[i].op->Saved().size());
  }
  for (const int i : plan->nodes) {
    OpTensors& t = plan->tensors[i];
    const Node& node = nodes_[i];
    const bool backward = training && node.needs_gradient;
    add(&t.output, dtype_of(i), node.image_shape, i, activation_end[i]);
    if (node.op) {
      const std::vector<SavedSpec> saved = node.op->Saved();
      for (size_t j = 0; j < saved.size(); ++j) {
        add(&t.saved[j], saved[j].dtype, saved[j].image_shape, i, backward ? backward_time(i) : i);
      }
    }
    if (backward && i != output_) {
      add(&t.d_output, dtype_of(i), node.image_shape, backward_time(last_consumer[i]),
          backward_time(i));
    }
    if (!backward) continue;
    for (size_t j = 0; j < inputs[i].size(); ++j) {
      const int input = inputs[i][j];
      if (!nodes_[input].needs_gradient) continue;
      const auto here = inputs[i].begin() + static_cast<int64_t>(j);
      const bool seen_here = std::find(inputs[i].begin(), here, input) != here;
      if (i == last_consumer[input] && !seen_here) continue;  // Written straight to d_output.
      add(&t.d_inputs[j], dtype_of(input), nodes_[input].image_shape, backward_time(i),
          backward_time(i));
    }
  }
  space.Place();

  const int64_t bytes = space.total() * batch;
  if (bytes > memory_.bytes()) {
    plans_.clear();  // They hold on to the memory that is about to be replaced.
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor memory, memory_.Get(backend_, DType::kUint8, {bytes}));
  for (const Piece& piece : pieces) {
    *piece.tensor = memory.ViewedAs(piece.dtype, WithBatch(batch, piece.image_shape),
                                    space.offset(piece.number) * batch);
  }
  for (const int i : plan->nodes) {
    OpTensors& t = plan->tensors[i];
    for (size_t j = 0; j < t.inputs.size(); ++j) {
      const int input = inputs[i][j];
      t.inputs[j] = plan->tensors[input].output;
      if (!training || !nodes_[i].needs_gradient || !nodes_[input].needs_gradient) continue;
      const Tensor& gradient = plan->tensors[input].d_output;
      if (t.d_inputs[j]) {
        plan->accumulations[i].push_back({t.d_inputs[j], gradient});
      } else {
        t.d_inputs[j] = gradient;
      }
    }
  }
  std::unique_ptr<Plan>& slot = plans_[key];
  slot = std::move(plan);
  return slot.get();
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
  PROTOPAGE_ASSIGN_OR_RETURN(Plan * plan, GetPlan(batch, run));
  const Tensor& input = plan->tensors[0].output;
  if (images.dtype() == DType::kUint8) {
    PROTOPAGE_RETURN_IF_ERROR(backend_->ImagesToFloat(images, input_scale_, input_shift_, input));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(backend_->Copy(images, input));
  }
  for (const int i : plan->nodes) {
    if (i == 0) continue;
    PROTOPAGE_RETURN_IF_ERROR(
        WithContext(nodes_[i].op->Forward(backend_, run, plan->tensors[i]), nodes_[i].op->name()));
  }
  *output = plan->tensors[output_].output;
  if (run.training) last_forward_ = plan;
  last_run_ = run;
  return absl::OkStatus();
}

absl::Status Graph::NoteForward(int64_t batch, const RunOptions& run) {
  PROTOPAGE_ASSIGN_OR_RETURN(Plan * plan, GetPlan(batch, run));
  last_forward_ = run.training ? plan : nullptr;
  last_run_ = run;
  return absl::OkStatus();
}

absl::Status Graph::Backward(const Tensor& d_output) {
  if (!last_forward_) {
    return absl::FailedPreconditionError("Backward needs a Forward with training before it");
  }
  Plan* plan = std::exchange(last_forward_, nullptr);
  OpTensors& last = plan->tensors[output_];
  if (!d_output || d_output.shape() != last.output.shape() ||
      d_output.dtype() != last.output.dtype()) {
    return absl::InvalidArgumentError(
        absl::StrCat("d_output is ", d_output ? d_output.shape().ToString() : "absent",
                     ", must be ", last.output.shape().ToString()));
  }
  last.d_output = d_output;
  for (auto at = plan->nodes.rbegin(); at != plan->nodes.rend(); ++at) {
    const int i = *at;
    if (i == 0 || !nodes_[i].needs_gradient) continue;
    PROTOPAGE_RETURN_IF_ERROR(WithContext(
        nodes_[i].op->Backward(backend_, last_run_, plan->tensors[i]), nodes_[i].op->name()));
    for (const Plan::Accumulation& sum : plan->accumulations[i]) {
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
