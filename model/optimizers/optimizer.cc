#include "protopage/model/optimizers/optimizer.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"

namespace protopage {

void OptimizerConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name, {.help = "optimizer of the network", .choices = {"adam", "sgd"}});
  v.Number("learning_rate", &learning_rate, {.help = "before the schedule", .min = 0, .max = 100});
  v.Number("momentum", &momentum, {.help = "sgd", .min = 0, .max = 0.9999});
  v.Flag("nesterov", &nesterov, {.help = "sgd: Nesterov's momentum"});
  v.Number("weight_decay", &weight_decay,
           {.help = "of kernels only; sgd: added to the gradient, adam: "
                    "decoupled (AdamW)",
            .min = 0,
            .max = 1});
  v.Number("beta1", &beta1, {.help = "adam", .min = 0, .max = 0.9999999});
  v.Number("beta2", &beta2, {.help = "adam", .min = 0, .max = 0.9999999});
  v.Number("epsilon", &epsilon, {.help = "adam", .min = 1e-12, .max = 1});
  v.Number("clip_norm", &clip_norm,
           {.help = "largest norm of all gradients together; 0: no limit", .min = 0});
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(
    const OptimizerConfig& config, absl::Span<Parameter* const> parameters, Backend* backend) {
  if (config.name != "adam" && config.name != "sgd") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown optimizer \"", config.name, "\", must be one of adam, sgd"));
  }
  std::unique_ptr<Optimizer> optimizer(new Optimizer(config, backend));
  const bool adam = config.name == "adam";
  for (Parameter* parameter : parameters) {
    if (!parameter->gradient) continue;
    Slot slot = {parameter, {}, {}};
    const Shape& shape = parameter->value.shape();
    if (adam || config.momentum > 0.0) {
      PROTOPAGE_ASSIGN_OR_RETURN(slot.state1, backend->Allocate(DType::kFloat32, shape));
    }
    if (adam) {
      PROTOPAGE_ASSIGN_OR_RETURN(slot.state2, backend->Allocate(DType::kFloat32, shape));
    }
    optimizer->slots_.push_back(std::move(slot));
  }
  if (config.clip_norm > 0.0) {
    PROTOPAGE_ASSIGN_OR_RETURN(optimizer->norm_, backend->Allocate(DType::kFloat32, {1}));
  }
  optimizer->batch_.reserve(optimizer->slots_.size());
  return optimizer;
}

absl::Status Optimizer::Update(double learning_rate) {
  batch_.clear();
  for (const Slot& slot : slots_) {
    if (!slot.parameter->trainable) continue;
    batch_.push_back({slot.parameter->value, slot.parameter->gradient, slot.state1, slot.state2,
                      slot.parameter->decay});
  }
  if (config_.clip_norm > 0.0) {
    gradients_.clear();
    for (const ParamUpdate& update : batch_) gradients_.push_back(update.gradient);
    PROTOPAGE_RETURN_IF_ERROR(
        backend_->ClipNorm(gradients_, static_cast<float>(config_.clip_norm), norm_));
  }
  ++updates_;
  if (config_.name == "adam") {
    AdamParams params;
    params.learning_rate = static_cast<float>(learning_rate);
    params.beta1 = static_cast<float>(config_.beta1);
    params.beta2 = static_cast<float>(config_.beta2);
    params.epsilon = static_cast<float>(config_.epsilon);
    params.weight_decay = static_cast<float>(config_.weight_decay);
    params.t = updates_;
    return backend_->AdamUpdate(params, batch_);
  }
  SgdParams params;
  params.learning_rate = static_cast<float>(learning_rate);
  params.momentum = static_cast<float>(config_.momentum);
  params.nesterov = config_.nesterov;
  params.weight_decay = static_cast<float>(config_.weight_decay);
  return backend_->SgdUpdate(params, batch_);
}

void Optimizer::State(StateVisitor& v) {
  const bool adam = config_.name == "adam";
  for (const Slot& slot : slots_) {
    const std::string& name = slot.parameter->name;
    if (slot.state1) v.Array(absl::StrCat(name, adam ? "/m" : "/velocity"), slot.state1);
    if (slot.state2) v.Array(absl::StrCat(name, "/v"), slot.state2);
  }
  v.Integer("updates", &updates_);
}

}  // namespace protopage
