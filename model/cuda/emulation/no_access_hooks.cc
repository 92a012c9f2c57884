// In builds that do not tell of accesses.
#include "protopage/model/cuda/emulation/access_hooks.h"

namespace protopage {
namespace emulation {

bool AccessesAreTold() { return false; }
void SetAccessListener(AccessListener) {}

}  // namespace emulation
}  // namespace protopage
