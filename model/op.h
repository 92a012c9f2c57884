// Op: a node of a network's graph. It owns its shape inference, its parameters, its forward and its
// backward. Shapes here are those of one image, without the batch: at run time an activation of
// shape [H, W, C] is a tensor [B, H, W, C], a feature map of the backend's activation_dtype().
// Activations of other ranks are float32; saved tensors have the dtype of their SavedSpec.
//
// model/ops.h has the ops; model/graph.h runs them.
#ifndef PROTOPAGE_MODEL_OP_H_
#define PROTOPAGE_MODEL_OP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

// A named tensor of a network: "conv_1/kernel", "bn_conv1/moving_mean" (names as in Keras).
struct Parameter {
  std::string name;
  Tensor value;
  // Of the value's shape; absent for statistics, which are never trained.
  Tensor gradient;
  bool trainable = true;  // False: an optimizer skips it.
  bool decay = true;      // False: weight decay does not apply (biases, batch norm).
};

enum class Initializer {
  kZeros,
  kOnes,
  // Uniform in +-sqrt(6 / (fan_in + fan_out)); Glorot and Bengio, AISTATS 2010. Keras' default.
  kGlorotUniform,
};

// Makes the parameters of an op that is added to a graph.
class ParameterFactory {
 public:
  virtual ~ParameterFactory() = default;
  // `name` is without the op's: "kernel". kGlorotUniform reads the fans. The pointer is valid as
  // long as the graph.
  virtual absl::StatusOr<Parameter*> Make(absl::string_view name, const Shape& shape,
                                          Initializer initializer, bool trainable, bool decay,
                                          int64_t fan_in = 0, int64_t fan_out = 0) = 0;
  virtual Backend* backend() = 0;
  // Keys of the op's random numbers: its position in the graph, and the graph's seed.
  virtual uint64_t position() const = 0;
  virtual uint64_t seed() const = 0;
};

// A tensor that an op keeps from Forward to Backward, one part per image.
struct SavedSpec {
  DType dtype = DType::kFloat32;
  Shape image_shape;
};

// The tensors of one run of an op.
struct OpTensors {
  std::vector<Tensor> inputs;
  Tensor output;
  std::vector<Tensor> saved;     // As specified by Op::Saved().
  Tensor d_output;               // Backward only; scratch.
  std::vector<Tensor> d_inputs;  // Backward only; overwritten; absent where not needed.
};

struct RunOptions {
  bool training = false;  // Batch statistics, dropout, and a Backward may follow.
  uint64_t step = 0;      // Keys the random numbers of dropout.
  float dropout = 0.0f;   // The rate of all dropout ops in training, in [0, 1).

  bool drops() const { return training && dropout > 0.0f; }
};

class Op {
 public:
  explicit Op(std::string name) : name_(std::move(name)) {}
  virtual ~Op() = default;

  const std::string& name() const { return name_; }
  virtual absl::string_view type() const = 0;  // "Conv2D"

  // Called once: checks the shapes of the inputs, makes the parameters and returns the shape of the
  // output. Errors: InvalidArgument, with the op's name and the shapes.
  virtual absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                                      ParameterFactory& parameters) = 0;
  virtual std::vector<SavedSpec> Saved() const { return {}; }
  // Which tensors of the forward pass Backward reads; the memory of the others is reused.
  virtual bool backward_reads_inputs() const { return false; }
  virtual bool backward_reads_output() const { return false; }
  // Whether in such a run the output equals the only input and d_input equals d_output. The graph
  // then uses one tensor for both and calls neither Forward nor Backward, unless the output is the
  // graph's own. May depend only on training and drops() of `run`.
  virtual bool IsIdentity(const RunOptions& /*run*/) const { return false; }

  virtual absl::Status Forward(Backend* backend, const RunOptions& run, const OpTensors& t) = 0;
  // Follows a Forward with run.training. Overwrites d_inputs and the gradients of the parameters.
  virtual absl::Status Backward(Backend* backend, const RunOptions& run, const OpTensors& t) = 0;

 private:
  std::string name_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OP_H_
