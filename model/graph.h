// Graph: a network as a DAG of ops (the tape). It is planned once for each batch size: all
// activations, gradients and saved tensors are laid out in one block of device memory, which is
// only as large as those in use at one time (model/graph_plan.h). A run then allocates nothing,
// whatever batch sizes follow.
//
//   Graph graph(backend, /*seed=*/1);
//   int x = graph.Input({8, 8, 1});
//   x = graph.Add(Conv2d("conv", {.filters = 4, .relu = true}), {x});
//   x = graph.Add(GlobalAveragePool("pool"), {x});
//   PROTOPAGE_RETURN_IF_ERROR(graph.Finish(x));  // The first error of building.
//
//   Tensor y;  // [B, 4]
//   PROTOPAGE_RETURN_IF_ERROR(graph.Forward(images, {.training = true, .step = step}, &y));
//   PROTOPAGE_RETURN_IF_ERROR(graph.Backward(d_y));  // Fills the gradients of graph.parameters().
//
// Not thread-safe. The backend must outlive the graph.
#ifndef PROTOPAGE_MODEL_GRAPH_H_
#define PROTOPAGE_MODEL_GRAPH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "protopage/model/backend.h"
#include "protopage/model/graph_plan.h"
#include "protopage/model/op.h"
#include "protopage/model/scratch.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"

namespace protopage {

class Graph {
 public:
  // `seed` determines the initial parameters and the random numbers of dropout.
  Graph(Backend* backend, uint64_t seed);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // --- Building: errors are kept and returned by Finish() ---
  // The one input, of images of `image_shape`; uint8 values become scale * x + shift.
  int Input(const Shape& image_shape, float scale = 1.0f, float shift = 0.0f);
  // Returns the node of the op's output.
  int Add(std::unique_ptr<Op> op, const std::vector<int>& inputs);
  // `output` is the node that Forward returns. Errors: InvalidArgument (shapes, names used twice).
  absl::Status Finish(int output);

  // --- Running ---
  // images: uint8 or float32 [B, image_shape], on the device; float32 images are neither scaled nor
  // shifted. *output [B, ...] is valid until the next Forward. Errors: InvalidArgument (shape,
  // dropout), ResourceExhausted.
  absl::Status Forward(const Tensor& images, const RunOptions& run, Tensor* output);
  // Tells the graph that a recorded Forward of `batch` images was replayed (Backend::Run), so that
  // Backward may follow. Errors: as Forward.
  absl::Status NoteForward(int64_t batch, const RunOptions& run);
  // d_output: the gradient of the loss, of the output's shape; it is scratch. Overwrites the
  // gradients of all parameters. Errors: FailedPrecondition (no Forward with training before).
  absl::Status Backward(const Tensor& d_output);

  // --- Inspection ---
  // In the order of building; the pointers are valid as long as the graph.
  absl::Span<Parameter* const> parameters() const { return parameters_; }
  // The gradients of the parameters that are currently trainable.
  std::vector<Tensor> gradients() const;
  // Values of all parameters, statistics included.
  void State(StateVisitor& v) const;

  struct NodeInfo {
    std::string name;
    std::string type;
    Shape image_shape;
    std::vector<int> inputs;
    int64_t num_parameters = 0;  // Elements, statistics included.
  };
  const std::vector<NodeInfo>& nodes() const { return infos_; }
  // Device bytes of activations, gradients and saved tensors, for the batch sizes planned so far.
  int64_t workspace_bytes() const;

 private:
  class Factory;

  // A plan depends on the batch size, RunOptions::training and drops().
  using PlanKey = std::tuple<int64_t, bool, bool>;
  // The plan is made on first use.
  absl::StatusOr<GraphPlan*> GetPlan(int64_t batch, const RunOptions& run);

  Backend* const backend_;
  const uint64_t seed_;
  float input_scale_ = 1.0f;
  float input_shift_ = 0.0f;
  int output_ = -1;
  absl::Status build_status_;
  std::vector<GraphNode> nodes_;
  std::vector<NodeInfo> infos_;
  std::vector<std::unique_ptr<Parameter>> owned_parameters_;
  std::vector<Parameter*> parameters_;
  ScratchBuffer memory_;
  std::map<PlanKey, std::unique_ptr<GraphPlan>> plans_;
  GraphPlan* last_forward_ = nullptr;  // The last training run, unless overwritten since.
  RunOptions last_run_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_GRAPH_H_
