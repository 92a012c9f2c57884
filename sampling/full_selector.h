// Mode full: all classes, at every step.
#ifndef PROTOPAGE_SAMPLING_FULL_SELECTOR_H_
#define PROTOPAGE_SAMPLING_FULL_SELECTOR_H_

#include "protopage/sampling/selection_mode.h"

namespace protopage {

SelectionMode FullMode();

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_FULL_SELECTOR_H_
