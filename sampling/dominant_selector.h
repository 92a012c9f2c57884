// The modes that draw classes from the dominant classes of the positives (the two-level sampling of
// "Large-scale Bisample Learning on ID vs. Spot Face Recognition", arXiv 1806.03018). Random
// classes fill up where there are too few dominant ones.
#ifndef PROTOPAGE_SAMPLING_DOMINANT_SELECTOR_H_
#define PROTOPAGE_SAMPLING_DOMINANT_SELECTOR_H_

#include "protopage/sampling/selection_mode.h"

namespace protopage {

// The positives, and classes drawn from the union of their dominant queues.
SelectionMode DominantMode();

// The positives, a share of dominant classes as above, and random classes for the rest.
SelectionMode MixedMode();

// As DominantMode, but from the exactly nearest classes by the newest rows instead of queues. Costs
// a search over all rows per step, and shows what queues could reach.
SelectionMode NearestMode();

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_DOMINANT_SELECTOR_H_
