// LossEntry: one loss as the registry (model/losses/loss_registry.h) lists it. A loss is a file
// that has a subclass of MarginLoss and a function with its entry:
//
//   class ZeroLoss : public MarginLoss {
//    public:
//     ZeroLoss(const LossConfig& config, Backend* backend) : MarginLoss(backend), config_(config) {}
//     absl::StatusOr<LossResult> Start(const LossInput& input) override {
//       PROTOPAGE_RETURN_IF_ERROR(CheckLossInput(input, slots_));
//       ...
//     }
//     void State(StateVisitor&) override {}
//     const LossConfig& config() const override { return config_; }
//     ...
//   };
//   LossEntry Zero() {
//     return {"zero", "0, whatever the cosines are", /*scale=*/1.0, /*margin=*/0.0,
//             [](const LossConfig& config, Backend* backend) -> std::unique_ptr<MarginLoss> {
//               return std::make_unique<ZeroLoss>(config, backend);
//             }};
//   }
#ifndef PROTOPAGE_MODEL_LOSSES_LOSS_ENTRY_H_
#define PROTOPAGE_MODEL_LOSSES_LOSS_ENTRY_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "protopage/model/backend.h"
#include "protopage/model/losses/margin_loss.h"
#include "protopage/model/tensor.h"

namespace protopage {

struct LossEntry {
  std::string name;  // Of LossConfig::name.
  std::string help;  // One line: the target's logit, and its paper.
  // The values of LossConfig::scale and margin where the user gives none.
  double scale = 1.0;
  double margin = 0.0;
  // `config` is resolved: its scale is above 0 and its margin 0 or more.
  std::function<std::unique_ptr<MarginLoss>(const LossConfig& config, Backend* backend)> make;
};

// The shapes that every loss expects: features [B, D], rows [K, D] and slots [B]; none is empty.
// Errors: InvalidArgument.
absl::Status CheckLossInput(const LossInput& input, const Tensor& slots);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_LOSSES_LOSS_ENTRY_H_
