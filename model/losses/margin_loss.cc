#include "protopage/model/losses/margin_loss.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

struct KnownLoss {
  const char* name;
  MarginKind kind;
  double scale, margin;  // Its defaults.
};
constexpr KnownLoss kLosses[] = {
    {"am_softmax", MarginKind::kAdditiveCosine, 24.0, 0.2},
    {"cosface", MarginKind::kAdditiveCosine, 64.0, 0.4},
    {"arcface", MarginKind::kAdditiveAngle, 64.0, 0.5},
    {"combined", MarginKind::kCombined, 64.0, 0.2},
};

std::vector<std::string> LossNames() {
  std::vector<std::string> names;
  for (const KnownLoss& loss : kLosses) names.push_back(loss.name);
  return names;
}

const KnownLoss* FindLoss(absl::string_view name) {
  for (const KnownLoss& loss : kLosses) {
    if (name == loss.name) return &loss;
  }
  return nullptr;
}

// The losses whose margin is a fixed function of the target's cosine.
class FixedMarginLoss : public MarginLoss {
 public:
  FixedMarginLoss(const LossConfig& config, MarginKind kind, Backend* backend)
      : MarginLoss(backend), config_(config) {
    params_.kind = kind;
    params_.scale = static_cast<float>(config.scale);
    params_.margin = static_cast<float>(config.margin);
    params_.m1 = static_cast<float>(config.m1);
    params_.m2 = static_cast<float>(config.m2);
  }

  absl::StatusOr<LossResult> Start(const LossInput& input) override;
  void State(StateVisitor&) override {}
  const LossConfig& config() const override { return config_; }

 private:
  LossConfig config_;
  MarginParams params_;
  // Kept from step to step; see Start.
  ScratchBuffer f_hat_, f_norms_, w_hat_, w_norms_, cosines_, d_cosines_, d_f_hat_, d_w_hat_;
  ScratchBuffer losses_, d_features_, d_rows_, predicted_;
};

absl::Status CheckInput(const LossInput& input, const Tensor& slots) {
  if (!input.features || !input.rows || input.features.shape().rank() != 2 ||
      input.rows.shape().rank() != 2 || input.features.shape()[0] < 1 ||
      input.rows.shape()[0] < 1 || input.features.shape()[1] != input.rows.shape()[1]) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss: features are ", input.features.shape().ToString(), ", rows are ",
                     input.rows.shape().ToString(), ", must be [B, D] and [K, D]"));
  }
  const int64_t batch = input.features.shape()[0];
  const int64_t num_slots = slots ? slots.num_elements() : 0;
  if (num_slots != batch) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss: ", num_slots, " slots for ", batch, " features"));
  }
  return absl::OkStatus();
}

// With f^ = f / |f| and w^ = w / |w| by rows, C = f^ w^T and G = d loss / d C:
//   d f^ = G w^,  d w^ = G^T f^,  and d x = (d x^ - (d x^ . x^) x^) / |x| for both.
absl::StatusOr<LossResult> FixedMarginLoss::Start(const LossInput& input) {
  PROTOPAGE_RETURN_IF_ERROR(CheckInput(input, slots_));
  const int64_t batch = input.features.shape()[0];
  const int64_t num_slots = input.rows.shape()[0];
  const int64_t dim = input.rows.shape()[1];
  const DType f32 = DType::kFloat32;
  Backend* b = backend_;

  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f_hat, f_hat_.Get(b, f32, {batch, dim}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f_norms, f_norms_.Get(b, f32, {batch}));
  PROTOPAGE_RETURN_IF_ERROR(b->L2NormalizeRows(input.features, f_hat, f_norms));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w_hat, w_hat_.Get(b, f32, {num_slots, dim}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w_norms, w_norms_.Get(b, f32, {num_slots}));
  PROTOPAGE_RETURN_IF_ERROR(b->L2NormalizeRows(input.rows, w_hat, w_norms));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor cosines, cosines_.Get(b, f32, {batch, num_slots}));
  PROTOPAGE_RETURN_IF_ERROR(b->MatMul(f_hat, false, w_hat, true, 1.0f, 0.0f, cosines));

  LossResult result;
  PROTOPAGE_ASSIGN_OR_RETURN(result.losses, losses_.Get(b, f32, {batch}));
  PROTOPAGE_ASSIGN_OR_RETURN(result.predicted, predicted_.Get(b, DType::kInt32, {batch}));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_cosines, d_cosines_.Get(b, f32, {batch, num_slots}));
  PROTOPAGE_RETURN_IF_ERROR(b->MarginSoftmax(params_, cosines, slots_,
                                             input.gradient_scale / static_cast<float>(batch),
                                             result.losses, d_cosines, result.predicted));

  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_f_hat, d_f_hat_.Get(b, f32, {batch, dim}));
  PROTOPAGE_ASSIGN_OR_RETURN(result.d_features, d_features_.Get(b, f32, {batch, dim}));
  PROTOPAGE_RETURN_IF_ERROR(b->MatMul(d_cosines, false, w_hat, false, 1.0f, 0.0f, d_f_hat));
  PROTOPAGE_RETURN_IF_ERROR(b->L2NormalizeRowsBackward(f_hat, f_norms, d_f_hat, result.d_features));
  PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w_hat, d_w_hat_.Get(b, f32, {num_slots, dim}));
  PROTOPAGE_ASSIGN_OR_RETURN(result.d_rows, d_rows_.Get(b, f32, {num_slots, dim}));
  PROTOPAGE_RETURN_IF_ERROR(b->MatMul(d_cosines, true, f_hat, false, 1.0f, 0.0f, d_w_hat));
  PROTOPAGE_RETURN_IF_ERROR(b->L2NormalizeRowsBackward(w_hat, w_norms, d_w_hat, result.d_rows));
  return result;
}

}  // namespace

absl::StatusOr<LossResult> MarginLoss::Compute(const LossInput& input) {
  if (input.rows) PROTOPAGE_RETURN_IF_ERROR(SetSlots(input.slots, input.rows.shape()[0]));
  PROTOPAGE_ASSIGN_OR_RETURN(LossResult result, Start(input));
  std::vector<float> losses(input.slots.size());
  std::vector<int32_t> predicted(input.slots.size());
  PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToHost(result.losses, losses.data()));
  PROTOPAGE_RETURN_IF_ERROR(backend_->CopyToHost(result.predicted, predicted.data()));
  Finish(input.slots, losses, predicted, &result);
  return result;
}

absl::Status MarginLoss::SetSlots(absl::Span<const int32_t> slots, int64_t num_slots) {
  const int64_t batch = static_cast<int64_t>(slots.size());
  for (int64_t b = 0; b < batch; ++b) {
    if (slots[b] < 0 || slots[b] >= num_slots) {
      return absl::InvalidArgumentError(absl::StrCat("loss: slot ", slots[b], " at position ", b,
                                                     " is outside [0, ", num_slots, ")"));
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(slots_, slot_memory_.Get(backend_, DType::kInt32, {batch}));
  return backend_->CopyToDevice(slots.data(), slots_);
}

void MarginLoss::Finish(absl::Span<const int32_t> slots, absl::Span<const float> losses,
                        absl::Span<const int32_t> predicted, LossResult* result) {
  const auto batch = static_cast<double>(slots.size());
  double sum = 0.0;
  for (const float loss : losses) sum += loss;
  result->loss = sum / batch;
  result->predicted_slots.assign(predicted.begin(), predicted.end());
  int64_t right = 0;
  for (size_t i = 0; i < slots.size(); ++i) right += predicted[i] == slots[i];
  result->accuracy = static_cast<double>(right) / batch;
}

void LossConfig::Fields(ConfigVisitor& v) {
  v.Text("name", &name, {.help = "margin softmax", .choices = LossNames()});
  v.Number("scale", &scale,
           {.help = "logit scale s; -1: the loss's own default (am_softmax 24, "
                    "the others 64)",
            .min = -1,
            .max = 1e4});
  v.Number("margin", &margin,
           {.help = "margin m; -1: the loss's own default (am_softmax .2, "
                    "cosface .4, arcface .5, combined .2)",
            .min = -1,
            .max = 2});
  v.Number("m1", &m1, {.help = "combined: factor of the angle", .min = 0, .max = 4});
  v.Number("m2", &m2, {.help = "combined: added to the angle, in radians", .min = 0, .max = 3.14});
}

absl::Status ResolveLossConfig(LossConfig* config) {
  const KnownLoss* known = FindLoss(config->name);
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown loss \"", config->name, "\", must be one of ", absl::StrJoin(LossNames(), ", ")));
  }
  if (config->scale == -1.0) config->scale = known->scale;
  if (config->margin == -1.0) config->margin = known->margin;
  if (!(config->scale > 0.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss scale is ", config->scale, ", must be above 0, or -1 for the default"));
  }
  if (!(config->margin >= 0.0)) {
    return absl::InvalidArgumentError(absl::StrCat("loss margin is ", config->margin,
                                                   ", must be 0 or more, or -1 for the default"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MarginLoss>> MarginLoss::Create(LossConfig config,
                                                               Backend* backend) {
  PROTOPAGE_RETURN_IF_ERROR(ResolveLossConfig(&config));
  return std::make_unique<FixedMarginLoss>(config, FindLoss(config.name)->kind, backend);
}

}  // namespace protopage
