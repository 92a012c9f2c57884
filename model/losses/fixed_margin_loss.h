// The losses whose margin is a fixed function of the target's cosine: am_softmax, cosface, arcface
// and combined. Each is a MarginKind of Backend::MarginSoftmax with numbers; the formulas are in
// model/losses/margin_loss.h.
#ifndef PROTOPAGE_MODEL_LOSSES_FIXED_MARGIN_LOSS_H_
#define PROTOPAGE_MODEL_LOSSES_FIXED_MARGIN_LOSS_H_

#include <vector>

#include "protopage/model/losses/loss_entry.h"

namespace protopage {

std::vector<LossEntry> FixedMarginLosses();

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_LOSSES_FIXED_MARGIN_LOSS_H_
