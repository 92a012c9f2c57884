#include "protopage/model/losses/loss_registry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/named_entries.h"
#include "protopage/model/losses/fixed_margin_loss.h"

namespace protopage {

const std::vector<LossEntry>& Losses() {
  static const auto& losses = *new std::vector<LossEntry>([] {
    std::vector<LossEntry> all = FixedMarginLosses();
    // Losses with a file of their own are appended here.
    return all;
  }());
  return losses;
}

std::vector<std::string> LossNames() { return NamesOf(Losses()); }

absl::StatusOr<const LossEntry*> FindLoss(absl::string_view name) {
  const LossEntry* const loss = FindNamed(Losses(), name);
  if (loss != nullptr) return loss;
  return absl::InvalidArgumentError(absl::StrCat("unknown loss \"", name, "\", must be one of ",
                                                 absl::StrJoin(LossNames(), ", ")));
}

}  // namespace protopage
