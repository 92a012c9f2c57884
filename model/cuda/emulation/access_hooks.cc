// The functions that g++ calls from code compiled with -fsanitize=thread (gcc/sanitizer.def), as
// far as the project's code needs them.
#include "protopage/model/cuda/emulation/access_hooks.h"

#include <cstdint>

namespace protopage {
namespace emulation {
namespace {

AccessListener listener = nullptr;

void Report(const void* pointer, size_t bytes, bool write) {
  if (listener != nullptr) listener(pointer, bytes, write);
}

}  // namespace

bool AccessesAreReported() { return true; }
void SetAccessListener(AccessListener new_listener) { listener = new_listener; }

}  // namespace emulation
}  // namespace protopage

using protopage::emulation::Report;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read_range(void* p, size_t bytes) { Report(p, bytes, false); }
void __tsan_write_range(void* p, size_t bytes) { Report(p, bytes, true); }

#define PROTOPAGE_ACCESS(bytes)                                 \
  void __tsan_read##bytes(void* p) { Report(p, bytes, false); } \
  void __tsan_write##bytes(void* p) { Report(p, bytes, true); }
PROTOPAGE_ACCESS(1)
PROTOPAGE_ACCESS(2)
PROTOPAGE_ACCESS(4)
PROTOPAGE_ACCESS(8)
PROTOPAGE_ACCESS(16)
#undef PROTOPAGE_ACCESS

// For tests with kernels of their own: GoogleTest's matchers have virtual functions and count
// references, and atomic operations are compiled to these calls. Kernels use atomicOr() instead.
void __tsan_vptr_update(void**, void*) {}
int32_t __tsan_atomic32_fetch_add(volatile int32_t* p, int32_t x, int) {
  return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);
}
int32_t __tsan_atomic32_fetch_sub(volatile int32_t* p, int32_t x, int) {
  return __atomic_fetch_sub(p, x, __ATOMIC_SEQ_CST);
}

}  // extern "C"
