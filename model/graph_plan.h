// GraphPlan: the tensors of one kind of run of a graph. It decides which nodes run and how long
// each activation, gradient and saved tensor is in use, and lays them out in one block of memory:
//
//   GraphPlan plan(nodes, output, run, backend->activation_dtype());
//   PROTOPAGE_ASSIGN_OR_RETURN(const Tensor memory,
//                              backend->Allocate(DType::kUint8, {plan.image_bytes() * batch}));
//   plan.Bind(memory, batch);
//   ...
//   for (const int i : plan.nodes()) {
//     if (i == 0) continue;  // The input.
//     PROTOPAGE_RETURN_IF_ERROR(nodes[i].op->Forward(backend, run, plan.tensors(i)));
//   }
//
// A part of Graph (model/graph.h).
#ifndef PROTOPAGE_MODEL_GRAPH_PLAN_H_
#define PROTOPAGE_MODEL_GRAPH_PLAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "protopage/model/op.h"
#include "protopage/model/space_planner.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct GraphNode {
  std::unique_ptr<Op> op;       // Null for the input, which is node 0.
  std::vector<int> inputs;      // Nodes before this one.
  Shape image_shape;            // Of the output.
  bool needs_gradient = false;  // A parameter that can be trained lies at or above it.
};

// [batch, image_shape].
Shape WithBatch(int64_t batch, const Shape& image_shape);

class GraphPlan {
 public:
  // Plans runs whose options have the training and drops() of `run`, and in which the output of
  // node `output` is read after the run. `nodes` must outlive the plan; the activation_dtype is
  // that of activations [B, H, W, C].
  GraphPlan(absl::Span<const GraphNode> nodes, int output, const RunOptions& run,
            DType activation_dtype);

  // The bytes of memory that an image of the batch takes.
  int64_t image_bytes() const { return space_.total(); }
  // Makes all tensors views of `memory`, uint8 [image_bytes() * batch]. Call it once.
  void Bind(const Tensor& memory, int64_t batch);

  // The nodes that run, in order; the first is the input.
  const std::vector<int>& nodes() const { return running_; }
  // Of a node that runs, after Bind. tensors(0).output is the input's; tensors(output).d_output is
  // left to the caller.
  OpTensors& tensors(int node) { return tensors_[node]; }
  const OpTensors& tensors(int node) const { return tensors_[node]; }

  // A gradient of an activation that another consumer has begun: to += from.
  struct Accumulation {
    Tensor from, to;
  };
  // What follows the Backward of a node.
  const std::vector<Accumulation>& accumulations(int node) const { return accumulations_[node]; }

 private:
  // A tensor of the plan: where it goes, and its piece of space_.
  struct Piece {
    Tensor* tensor;
    int number;
    DType dtype;
    Shape image_shape;
  };

  void FindRunningNodes(const RunOptions& run);
  void FindLifetimes();
  void AddPieces();
  void AddPiece(Tensor* tensor, DType dtype, const Shape& image_shape, int begin, int end);
  // Node i runs forward at time i and backward at this time.
  int BackwardTime(int i) const { return 2 * static_cast<int>(graph_.size()) - 1 - i; }
  bool RunsBackward(int i) const { return training_ && graph_[i].needs_gradient; }
  // Of the output of a node, and of its gradient.
  DType DTypeOf(int i) const;

  const absl::Span<const GraphNode> graph_;
  const int output_;
  const bool training_;
  const DType activation_dtype_;
  std::vector<int> running_;
  std::vector<std::vector<int>> inputs_;  // By node: the nodes whose outputs it reads.
  std::vector<int> activation_end_;       // By node: the last time at which its output is read.
  std::vector<int> last_consumer_;        // By node: the last node that reads it, or -1.
  SpacePlanner space_;                    // In bytes of an image.
  std::vector<Piece> pieces_;             // Their tensors are those of tensors_.
  std::vector<OpTensors> tensors_;        // By node.
  std::vector<std::vector<Accumulation>> accumulations_;  // By node.
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_GRAPH_PLAN_H_
