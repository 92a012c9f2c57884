#include "protopage/model/losses/margin_loss.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/losses/loss_registry.h"

namespace protopage {
namespace {

// "am_softmax 24, cosface 64, ...": a default of each loss.
std::string Defaults(double LossEntry::*value) {
  return absl::StrJoin(Losses(), ", ", [value](std::string* text, const LossEntry& loss) {
    absl::StrAppend(text, loss.name, " ", loss.*value);
  });
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
           {.help = absl::StrCat("logit scale s; -1: the loss's own default (",
                                 Defaults(&LossEntry::scale), ")"),
            .min = -1,
            .max = 1e4});
  v.Number("margin", &margin,
           {.help = absl::StrCat("margin m; -1: the loss's own default (",
                                 Defaults(&LossEntry::margin), ")"),
            .min = -1,
            .max = 2});
  v.Number("m1", &m1, {.help = "combined: factor of the angle", .min = 0, .max = 4});
  v.Number("m2", &m2, {.help = "combined: added to the angle, in radians", .min = 0, .max = 3.14});
}

absl::Status ResolveLossConfig(LossConfig* config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const LossEntry* loss, FindLoss(config->name));
  if (config->scale == -1.0) config->scale = loss->scale;
  if (config->margin == -1.0) config->margin = loss->margin;
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
  PROTOPAGE_ASSIGN_OR_RETURN(const LossEntry* loss, FindLoss(config.name));
  return loss->make(config, backend);
}

}  // namespace protopage
