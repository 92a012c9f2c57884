#include "protopage/model/optimizers/optimizer.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// The names of a parameter's state tensors: none, one or two.
std::vector<std::string> AdamStates(const OptimizerConfig&) { return {"m", "v"}; }
std::vector<std::string> SgdStates(const OptimizerConfig& config) {
  if (config.momentum > 0.0) return {"velocity"};
  return {};
}

// Fills in the factors of update t, which is 1 for the first.
void CorrectBias(int64_t t, AdamParams* params) {
  const double bias1 = 1.0 - std::pow(static_cast<double>(params->beta1), static_cast<double>(t));
  const double bias2 = 1.0 - std::pow(static_cast<double>(params->beta2), static_cast<double>(t));
  params->step_size = static_cast<float>(static_cast<double>(params->learning_rate) / bias1);
  params->inverse_sqrt_bias2 = static_cast<float>(1.0 / std::sqrt(bias2));
}

absl::Status UpdateAdam(const OptimizerConfig& config, double learning_rate, int64_t t,
                        absl::Span<const ParamUpdate> updates, Backend* backend) {
  AdamParams params;
  params.learning_rate = static_cast<float>(learning_rate);
  params.beta1 = static_cast<float>(config.beta1);
  params.beta2 = static_cast<float>(config.beta2);
  params.epsilon = static_cast<float>(config.epsilon);
  params.weight_decay = static_cast<float>(config.weight_decay);
  CorrectBias(t, &params);
  return backend->AdamUpdate(params, updates);
}

absl::Status UpdateSgd(const OptimizerConfig& config, double learning_rate, int64_t /*t*/,
                       absl::Span<const ParamUpdate> updates, Backend* backend) {
  SgdParams params;
  params.learning_rate = static_cast<float>(learning_rate);
  params.momentum = static_cast<float>(config.momentum);
  params.nesterov = config.nesterov;
  params.weight_decay = static_cast<float>(config.weight_decay);
  return backend->SgdUpdate(params, updates);
}

}  // namespace

struct Optimizer::Kind {
  const char* name;
  std::vector<std::string> (*states)(const OptimizerConfig& config);
  absl::Status (*update)(const OptimizerConfig& config, double learning_rate, int64_t t,
                         absl::Span<const ParamUpdate> updates, Backend* backend);
};
const Optimizer::Kind Optimizer::kKinds[] = {
    {"adam", AdamStates, UpdateAdam},
    {"sgd", SgdStates, UpdateSgd},
};

std::vector<std::string> Optimizer::Names() { return NamesOf(kKinds); }

void OptimizerConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name, {.help = "optimizer of the network", .choices = Optimizer::Names()});
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
  const Kind* const kind = FindNamed(kKinds, config.name);
  if (kind == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown optimizer \"", config.name, "\", must be one of ", absl::StrJoin(Names(), ", ")));
  }
  std::unique_ptr<Optimizer> optimizer(new Optimizer(config, *kind, backend));
  const size_t num_states = kind->states(config).size();
  for (Parameter* parameter : parameters) {
    if (!parameter->gradient) continue;
    Slot slot = {parameter, {}, {}};
    const Shape& shape = parameter->value.shape();
    if (num_states > 0) {
      PROTOPAGE_ASSIGN_OR_RETURN(slot.state1, backend->Allocate(DType::kFloat32, shape));
    }
    if (num_states > 1) {
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
  return kind_.update(config_, learning_rate, updates_, batch_, backend_);
}

void Optimizer::State(StateVisitor& v) {
  const std::vector<std::string> names = kind_.states(config_);
  for (const Slot& slot : slots_) {
    const std::string& parameter = slot.parameter->name;
    if (slot.state1) v.Array(absl::StrCat(parameter, "/", names[0]), slot.state1);
    if (slot.state2) v.Array(absl::StrCat(parameter, "/", names[1]), slot.state2);
  }
  v.Integer("updates", &updates_);
}

}  // namespace protopage
