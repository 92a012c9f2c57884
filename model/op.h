// Op: a node of a network's graph. It owns its shape inference, its parameters,
// its forward and its backward. Shapes here are those of one image, without the
// batch: an activation of shape [H, W, C] is a tensor [B, H, W, C] when it
// runs, a map of the backend's activation_dtype(). Activations of other ranks, and
// what ops save, are of the dtype that is written there, float32 where none is.
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

// A named tensor of a network: "conv_1/kernel", "bn_conv1/moving_mean" (names
// as in Keras).
struct Parameter {
  std::string name;
  Tensor value;
  Tensor gradient;        // Of the value's shape; absent in statistics, which are
                          // never trained.
  bool trainable = true;  // False: an optimizer leaves it alone.
  bool decay = true;      // False: weight decay does not apply (biases, batch norm).
};

enum class Initializer {
  kZeros,
  kOnes,
  // Uniform in +-sqrt(6 / (fan_in + fan_out)); Glorot and Bengio, AISTATS 2010.
  // Keras' default.
  kGlorotUniform,
};

// Makes the parameters of an op that joins a graph.
class ParameterFactory {
 public:
  virtual ~ParameterFactory() = default;
  // `name` without the op's: "kernel". The fans are of kGlorotUniform. The
  // pointer is good as long as the graph.
  virtual absl::StatusOr<Parameter*> Make(absl::string_view name, const Shape& shape,
                                          Initializer initializer, bool trainable, bool decay,
                                          int64_t fan_in = 0, int64_t fan_out = 0) = 0;
  virtual Backend* backend() = 0;
  // A number of the op for keyed random numbers: its position in the graph, and
  // the graph's seed.
  virtual uint64_t position() const = 0;
  virtual uint64_t seed() const = 0;
};

// A tensor that an op keeps from Forward to Backward, one piece an image.
struct SavedSpec {
  DType dtype = DType::kFloat32;
  Shape image_shape;
};

// The tensors of one run of an op.
struct OpTensors {
  std::vector<Tensor> inputs;
  Tensor output;
  std::vector<Tensor> saved;     // As the op's Saved() says.
  Tensor d_output;               // Backward only; scratch.
  std::vector<Tensor> d_inputs;  // Backward only; absent where not wanted; overwritten.
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

  // Called once: checks the inputs' shapes, makes the parameters, returns the
  // output's shape. Errors: InvalidArgument with the op's name and the shapes.
  virtual absl::StatusOr<Shape> Build(absl::Span<const Shape> inputs,
                                      ParameterFactory& parameters) = 0;
  virtual std::vector<SavedSpec> Saved() const { return {}; }
  // What Backward reads of the forward pass; the rest of the memory is used
  // again.
  virtual bool backward_reads_inputs() const { return false; }
  virtual bool backward_reads_output() const { return false; }
  // Whether the output of such a run is its only input, unchanged, and d_input is d_output: the
  // graph then uses one tensor for both and calls neither Forward nor Backward, unless the output
  // is the graph's own. Depends on nothing of `run` but training and drops().
  virtual bool IsIdentity(const RunOptions& /*run*/) const { return false; }

  virtual absl::Status Forward(Backend* backend, const RunOptions& run, const OpTensors& t) = 0;
  // Of a Forward with run.training. Overwrites d_inputs and the gradients of
  // the parameters.
  virtual absl::Status Backward(Backend* backend, const RunOptions& run, const OpTensors& t) = 0;

 private:
  std::string name_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OP_H_
