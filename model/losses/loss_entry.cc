#include "protopage/model/losses/loss_entry.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace protopage {

absl::Status CheckLossInput(const LossInput& input, const Tensor& slots) {
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

}  // namespace protopage
