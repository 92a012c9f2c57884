#include "protopage/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace protopage {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: internal error: check failed: %s\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace protopage
