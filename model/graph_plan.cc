#include "protopage/model/graph_plan.h"

#include <algorithm>

namespace protopage {

Shape WithBatch(int64_t batch, const Shape& image_shape) {
  Shape shape = {batch};
  for (int i = 0; i < image_shape.rank(); ++i) shape.Append(image_shape[i]);
  return shape;
}

GraphPlan::GraphPlan(absl::Span<const GraphNode> nodes, int output, const RunOptions& run,
                     DType activation_dtype)
    : graph_(nodes),
      output_(output),
      training_(run.training),
      activation_dtype_(activation_dtype),
      inputs_(nodes.size()),
      activation_end_(nodes.size()),
      last_consumer_(nodes.size(), -1),
      tensors_(nodes.size()),
      accumulations_(nodes.size()) {
  FindRunningNodes(run);
  FindLifetimes();
  AddPieces();
  space_.Place();
}

// An identity does not run: its readers read its input.
void GraphPlan::FindRunningNodes(const RunOptions& run) {
  std::vector<int> source(graph_.size());  // The node whose tensor is this node's output.
  for (int i = 0; i < static_cast<int>(graph_.size()); ++i) {
    const GraphNode& node = graph_[i];
    if (node.op && i != output_ && node.op->IsIdentity(run)) {
      source[i] = source[node.inputs[0]];
      continue;
    }
    source[i] = i;
    for (const int input : node.inputs) inputs_[i].push_back(source[input]);
    running_.push_back(i);
  }
}

// An activation is in use from its forward to its last reader, a gradient from its first writer to
// the backward of its node.
void GraphPlan::FindLifetimes() {
  for (const int i : running_) {
    activation_end_[i] = i;
    for (const int input : inputs_[i]) {
      activation_end_[input] = std::max(activation_end_[input], i);
      last_consumer_[input] = i;
    }
    if (!RunsBackward(i)) continue;
    if (graph_[i].op->backward_reads_output()) activation_end_[i] = BackwardTime(i);
    if (graph_[i].op->backward_reads_inputs()) {
      for (const int input : inputs_[i]) {
        activation_end_[input] = std::max(activation_end_[input], BackwardTime(i));
      }
    }
  }
  // The caller reads the output until the next run.
  activation_end_[output_] = 2 * static_cast<int>(graph_.size());
}

DType GraphPlan::DTypeOf(int i) const {
  return graph_[i].image_shape.rank() == 3 ? activation_dtype_ : DType::kFloat32;
}

void GraphPlan::AddPiece(Tensor* tensor, DType dtype, const Shape& image_shape, int begin,
                         int end) {
  const int64_t bytes = image_shape.num_elements() * BytesOf(dtype);
  pieces_.push_back({tensor, space_.Add(begin, end, bytes), dtype, image_shape});
}

void GraphPlan::AddPieces() {
  // The vectors get their final sizes first: pieces_ points into them.
  for (const int i : running_) {
    OpTensors& t = tensors_[i];
    t.inputs.resize(inputs_[i].size());
    t.d_inputs.resize(inputs_[i].size());
    if (graph_[i].op) t.saved.resize(graph_[i].op->Saved().size());
  }
  for (const int i : running_) {
    OpTensors& t = tensors_[i];
    const GraphNode& node = graph_[i];
    AddPiece(&t.output, DTypeOf(i), node.image_shape, i, activation_end_[i]);
    if (node.op) {
      const std::vector<SavedSpec> saved = node.op->Saved();
      for (size_t j = 0; j < saved.size(); ++j) {
        AddPiece(&t.saved[j], saved[j].dtype, saved[j].image_shape, i,
                 RunsBackward(i) ? BackwardTime(i) : i);
      }
    }
    if (!RunsBackward(i)) continue;
    if (i != output_) {
      AddPiece(&t.d_output, DTypeOf(i), node.image_shape, BackwardTime(last_consumer_[i]),
               BackwardTime(i));
    }
    for (size_t j = 0; j < inputs_[i].size(); ++j) {
      const int input = inputs_[i][j];
      if (!graph_[input].needs_gradient) continue;
      const auto here = inputs_[i].begin() + static_cast<int64_t>(j);
      const bool seen_here = std::find(inputs_[i].begin(), here, input) != here;
      // The first gradient of an activation is written straight to its d_output.
      if (i == last_consumer_[input] && !seen_here) continue;
      AddPiece(&t.d_inputs[j], DTypeOf(input), graph_[input].image_shape, BackwardTime(i),
               BackwardTime(i));
    }
  }
}

void GraphPlan::Bind(const Tensor& memory, int64_t batch) {
  for (const Piece& piece : pieces_) {
    *piece.tensor = memory.ViewedAs(piece.dtype, WithBatch(batch, piece.image_shape),
                                    space_.offset(piece.number) * batch);
  }
  for (const int i : running_) {
    OpTensors& t = tensors_[i];
    for (size_t j = 0; j < t.inputs.size(); ++j) {
      const int input = inputs_[i][j];
      t.inputs[j] = tensors_[input].output;
      if (!RunsBackward(i) || !graph_[input].needs_gradient) continue;
      const Tensor& gradient = tensors_[input].d_output;
      if (t.d_inputs[j]) {
        accumulations_[i].push_back({t.d_inputs[j], gradient});
      } else {
        t.d_inputs[j] = gradient;
      }
    }
  }
}

}  // namespace protopage
