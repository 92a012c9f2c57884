#include "model/optimizer.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

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
      ASSIGN_OR_RETURN(slot.state1, backend->Allocate(DType::kFloat32, shape));
    }
    if (adam) {
      ASSIGN_OR_RETURN(slot.state2, backend->Allocate(DType::kFloat32, shape));
    }
    optimizer->slots_.push_back(std::move(slot));
  }
  const int64_t count = optimizer->slots_.size();
  if (count > 0) {
    ASSIGN_OR_RETURN(optimizer->square_sums_, backend->Allocate(DType::kFloat32, {count}));
  }
  optimizer->host_sums_.resize(count);
  optimizer->batch_.reserve(count);
  return optimizer;
}

absl::StatusOr<double> Optimizer::GradientNorm() {
  // One product g g^T a parameter, [1, n] x [n, 1]; the sum of them is in double on the host.
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Parameter& parameter = *slots_[i].parameter;
    const Tensor sum = square_sums_.Slice(i, 1).Reshaped({1, 1});
    if (!parameter.trainable) {
      RETURN_IF_ERROR(backend_->Fill(sum, 0.0f));
      continue;
    }
    const Tensor g = parameter.gradient.Reshaped({1, parameter.gradient.num_elements()});
    RETURN_IF_ERROR(backend_->MatMul(g, false, g, true, 1.0f, 0.0f, sum));
  }
  if (slots_.empty()) return 0.0;
  RETURN_IF_ERROR(backend_->CopyToHost(square_sums_, host_sums_.data()));
  double total = 0.0;
  for (const float sum : host_sums_) total += sum;
  return std::sqrt(total);
}

absl::Status Optimizer::Update(double learning_rate) {
  batch_.clear();
  for (const Slot& slot : slots_) {
    if (!slot.parameter->trainable) continue;
    batch_.push_back({slot.parameter->value, slot.parameter->gradient, slot.state1, slot.state2,
                      slot.parameter->decay});
  }
  if (config_.clip_norm > 0.0) {
    ASSIGN_OR_RETURN(const double norm, GradientNorm());
    // A norm that is not finite is not clipped: that is for the caller to find beforehand.
    if (norm > config_.clip_norm && std::isfinite(norm)) {
      const float factor = static_cast<float>(config_.clip_norm / norm);
      for (const ParamUpdate& update : batch_) {
        RETURN_IF_ERROR(backend_->Scale(factor, update.gradient));
      }
    }
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
