#include "protopage/model/losses/fixed_margin_loss.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "protopage/base/status_macros.h"
#include "protopage/model/scratch.h"

namespace protopage {
namespace {

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

// With f^ = f / |f| and w^ = w / |w| by rows, C = f^ w^T and G = d loss / d C:
//   d f^ = G w^,  d w^ = G^T f^,  and d x = (d x^ - (d x^ . x^) x^) / |x| for both.
absl::StatusOr<LossResult> FixedMarginLoss::Start(const LossInput& input) {
  PROTOPAGE_RETURN_IF_ERROR(CheckLossInput(input, slots_));
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

LossEntry Entry(std::string name, std::string help, MarginKind kind, double scale, double margin) {
  return {std::move(name), std::move(help), scale, margin,
          [kind](const LossConfig& config, Backend* backend) -> std::unique_ptr<MarginLoss> {
            return std::make_unique<FixedMarginLoss>(config, kind, backend);
          }};
}

}  // namespace

std::vector<LossEntry> FixedMarginLosses() {
  return {
      // The demo's numbers; the paper has 30 and .35.
      Entry("am_softmax", "s (c_y - m); Wang et al., arXiv 1801.05599", MarginKind::kAdditiveCosine,
            24.0, 0.2),
      Entry("cosface", "s (c_y - m); Wang et al., arXiv 1801.09414", MarginKind::kAdditiveCosine,
            64.0, 0.4),
      Entry("arcface", "s cos(theta_y + m); Deng et al., arXiv 1801.07698",
            MarginKind::kAdditiveAngle, 64.0, 0.5),
      Entry("combined", "s (cos(m1 theta_y + m2) - m); Deng et al., arXiv 1801.07698",
            MarginKind::kCombined, 64.0, 0.2),
  };
}

}  // namespace protopage
