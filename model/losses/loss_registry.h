// The losses that there are, in the order of the help text.
//
//   for (const LossEntry& loss : Losses()) std::cout << loss.name << ": " << loss.help << "\n";
//
// A new loss is a file of its own (model/losses/loss_entry.h) and a line in loss_registry.cc.
#ifndef PROTOPAGE_MODEL_LOSSES_LOSS_REGISTRY_H_
#define PROTOPAGE_MODEL_LOSSES_LOSS_REGISTRY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/model/losses/loss_entry.h"

namespace protopage {

const std::vector<LossEntry>& Losses();
// The names of Losses().
std::vector<std::string> LossNames();
// Errors: InvalidArgument, with the names that there are.
absl::StatusOr<const LossEntry*> FindLoss(absl::string_view name);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_LOSSES_LOSS_REGISTRY_H_
