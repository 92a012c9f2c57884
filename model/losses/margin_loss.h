// MarginLoss: a softmax over the cosines between features and prototype rows, with a margin.
//
//   LossConfig config;  // am_softmax
//   PROTOPAGE_ASSIGN_OR_RETURN(auto loss, MarginLoss::Create(config, backend));
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       const LossResult result,
//       loss->Compute({.features = features, .rows = rows, .slots = slots}));
//   PROTOPAGE_RETURN_IF_ERROR(net->Backward(result.d_features));
//   PROTOPAGE_RETURN_IF_ERROR(optimizer->Update(0.02, rows, state, away, result.d_rows));
//
// With c_bk = cos(theta_bk) = (f_b / |f_b|) . (w_k / |w_k|), y = slots[b], s the scale and m the
// margin, the loss is mean_b -log softmax(z_b)_y, where z_bk = s c_bk for k != y and z_by is
//
//   am_softmax   s (c_y - m)                   Wang et al., arXiv 1801.05599
//   cosface      s (c_y - m)                   Wang et al., arXiv 1801.09414
//   arcface      s cos(theta_y + m),           Deng et al., arXiv 1801.07698
//                s (c_y - m sin(pi - m)) where c_y <= cos(pi - m)
//   combined     s (cos(m1 theta_y + m2) - m)  the same paper
//
// Here `net` is a Net, `optimizer` a RowOptimizer. model/losses/loss_registry.h lists the losses
// with their defaults; a loss that is not a function of the target's cosine alone joins them there.
//
// Not thread-safe. The backend must outlive the loss.
#ifndef PROTOPAGE_MODEL_LOSSES_MARGIN_LOSS_H_
#define PROTOPAGE_MODEL_LOSSES_MARGIN_LOSS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/config_fields.h"
#include "protopage/model/backend.h"
#include "protopage/model/scratch.h"
#include "protopage/model/state.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct LossConfig {
  std::string name = "am_softmax";
  double scale = -1.0;   // -1: the default of the loss.
  double margin = -1.0;  // -1: the default of the loss.
  double m1 = 1.0;       // combined only.
  double m2 = 0.3;       // combined only, radians.

  void Fields(ConfigVisitor& v);
};

// Replaces -1 by the loss's own defaults, so that a printed config says what ran. Errors:
// InvalidArgument (an unknown name; a scale or margin that is negative but not -1).
absl::Status ResolveLossConfig(LossConfig* config);

struct LossInput {
  Tensor features;                       // [B, D], raw: some losses read their norms.
  Tensor rows;                           // [K, D]; normalised here, so unit length is not required.
  absl::Span<const int32_t> slots = {};  // [B], each in [0, K); on the host. Read by Compute only.
  int64_t step = 0;
  float gradient_scale = 1.0f;  // d_features and d_rows are multiplied by it.
};

// Tensors are on the device and valid until the next Compute.
struct LossResult {
  double loss = 0.0;                     // Mean over the batch.
  double accuracy = 0.0;                 // Share of images whose predicted slot is their own.
  Tensor losses;                         // [B]
  Tensor d_features;                     // [B, D], of the mean loss.
  Tensor d_rows;                         // [K, D], of the mean loss; orthogonal to the rows.
  Tensor predicted;                      // int32 [B]: argmax of the cosines without margin, lowest
                                         // slot on ties.
  std::vector<int32_t> predicted_slots;  // The same on the host.
};

class MarginLoss {
 public:
  // Errors: as ResolveLossConfig.
  static absl::StatusOr<std::unique_ptr<MarginLoss>> Create(LossConfig config, Backend* backend);
  virtual ~MarginLoss() = default;

  // Calls SetSlots, Start and Finish. A loss that is not finite is no error here: the caller
  // decides.
  absl::StatusOr<LossResult> Compute(const LossInput& input);

  // Copies the slots, each in [0, num_slots), to the device. Errors: InvalidArgument (a slot out of
  // range, with its position), ResourceExhausted.
  absl::Status SetSlots(absl::Span<const int32_t> slots, int64_t num_slots);
  // Queues the device's work for the slots last set, which fills the tensors of the result. Does
  // not read input.slots; may be recorded (Backend::Run). Errors: InvalidArgument (shapes),
  // ResourceExhausted.
  virtual absl::StatusOr<LossResult> Start(const LossInput& input) = 0;
  // Fills the rest of the result from host copies of its losses [B] and predicted [B].
  static void Finish(absl::Span<const int32_t> slots, absl::Span<const float> losses,
                     absl::Span<const int32_t> predicted, LossResult* result);
  // State that the loss adapts during training, for checkpoints. The losses above have none.
  virtual void State(StateVisitor& v) = 0;
  // As resolved by ResolveLossConfig.
  virtual const LossConfig& config() const = 0;

 protected:
  explicit MarginLoss(Backend* backend) : backend_(backend) {}

  Backend* const backend_;
  Tensor slots_;  // [B]

 private:
  ScratchBuffer slot_memory_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_LOSSES_MARGIN_LOSS_H_
