// Mode random: the positive classes, and random classes up to K.
#ifndef PROTOPAGE_SAMPLING_RANDOM_SELECTOR_H_
#define PROTOPAGE_SAMPLING_RANDOM_SELECTOR_H_

#include "protopage/sampling/selection_mode.h"

namespace protopage {

SelectionMode RandomMode();

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_RANDOM_SELECTOR_H_
