// For builds that do not report accesses.
#include "protopage/model/cuda/emulation/access_hooks.h"

namespace protopage {
namespace emulation {

bool AccessesAreReported() { return false; }
void SetAccessListener(AccessListener) {}

}  // namespace emulation
}  // namespace protopage
