// Optimizer: updates the parameters of a net from their gradients.
//
//   OptimizerConfig config;  // adam
//   PROTOPAGE_ASSIGN_OR_RETURN(auto optimizer,
//                              Optimizer::Create(config, net->parameters(), backend));
//   ...
//   PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(config.learning_rate * schedule->Factor(step)));
//
// sgd    g <- g + weight_decay w;  v <- momentum v + g;  w <- w - lr v
//        (nesterov: w <- w - lr (g + momentum v))
// adam   Kingma and Ba, arXiv 1412.6980, bias-corrected; weight_decay is decoupled
//        (AdamW, arXiv 1711.05101): w <- w - lr weight_decay w
// Weight decay applies to parameters with Parameter::decay: to kernels.
//
// Not thread-safe. The parameters and the backend must outlive the optimizer.
#ifndef PROTOPAGE_MODEL_OPTIMIZERS_OPTIMIZER_H_
#define PROTOPAGE_MODEL_OPTIMIZERS_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/config_fields.h"
#include "protopage/model/backend.h"
#include "protopage/model/op.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct OptimizerConfig {
  std::string name = "adam";  // A name of the table above.
  double learning_rate = 1e-3;
  double momentum = 0.9;  // sgd
  bool nesterov = false;  // sgd
  double weight_decay = 0.0;
  double beta1 = 0.9;     // adam
  double beta2 = 0.999;   // adam
  double epsilon = 1e-7;  // adam; Keras' default
  // > 0: gradients are scaled down so that the norm of all of them together is at most this.
  double clip_norm = 0.0;

  void Fields(ConfigVisitor& v);
};

class Optimizer {
 public:
  // Covers all parameters that have a gradient; Update skips those whose `trainable` is false at
  // the time. Errors: InvalidArgument (config), ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const OptimizerConfig& config,
                                                           absl::Span<Parameter* const> parameters,
                                                           Backend* backend);

  // One update of all trainable parameters. Clipping scales the gradients in place.
  absl::Status Update(double learning_rate);

  // The number of updates so far.
  int64_t updates() const { return updates_; }
  const OptimizerConfig& config() const { return config_; }
  // Moments or velocities by parameter name, and the number of updates.
  void State(StateVisitor& v);
  // The names that OptimizerConfig::name may have.
  static std::vector<std::string> Names();

 private:
  struct Kind;
  static const Kind kKinds[];
  struct Slot {
    Parameter* parameter;
    Tensor state1, state2;
  };
  Optimizer(const OptimizerConfig& config, const Kind& kind, Backend* backend)
      : config_(config), kind_(kind), backend_(backend) {}

  OptimizerConfig config_;
  const Kind& kind_;
  Backend* backend_;
  std::vector<Slot> slots_;
  std::vector<ParamUpdate> batch_;  // Kept, so that an update allocates nothing.
  std::vector<Tensor> gradients_;   // Of batch_.
  Tensor norm_;                     // [1], where gradients are clipped.
  int64_t updates_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_OPTIMIZERS_OPTIMIZER_H_
