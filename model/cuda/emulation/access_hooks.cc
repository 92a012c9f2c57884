// What g++ calls in code compiled with -fsanitize=thread (gcc/sanitizer.def), and of the functions of
// ThreadSanitizer that code of ours needs.
#include "model/cuda/emulation/access_hooks.h"

#include <cstdint>

namespace protopage {
namespace emulation {
namespace {

AccessListener listener = nullptr;

void Tell(const void* pointer, size_t bytes, bool write) {
  if (listener != nullptr) listener(pointer, bytes, write);
}

}  // namespace

bool AccessesAreTold() { return true; }
void SetAccessListener(AccessListener new_listener) { listener = new_listener; }

}  // namespace emulation
}  // namespace protopage

using protopage::emulation::Tell;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, size_t bytes) { Tell(p, bytes, false); }
void __tsan_write_range(void* p, size_t bytes) { Tell(p, bytes, true); }

#define PROTOPAGE_ACCESS(bytes)                                        \
  void __tsan_read##bytes(void* p) { Tell(p, bytes, false); }          \
  void __tsan_write##bytes(void* p) { Tell(p, bytes, true); }          \
  void __tsan_volatile_read##bytes(void* p) { Tell(p, bytes, false); } \
  void __tsan_volatile_write##bytes(void* p) { Tell(p, bytes, true); }
PROTOPAGE_ACCESS(1)
PROTOPAGE_ACCESS(2)
PROTOPAGE_ACCESS(4)
PROTOPAGE_ACCESS(8)
PROTOPAGE_ACCESS(16)
#undef PROTOPAGE_ACCESS

#define PROTOPAGE_ACCESS(bytes)                                         \
  void __tsan_unaligned_read##bytes(void* p) { Tell(p, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* p) { Tell(p, bytes, true); }
PROTOPAGE_ACCESS(2)
PROTOPAGE_ACCESS(4)
PROTOPAGE_ACCESS(8)
PROTOPAGE_ACCESS(16)
#undef PROTOPAGE_ACCESS

// Atomic operations come here instead of being compiled. Only the host's code has them: kernels have atomicOr().
#define PROTOPAGE_FETCH(bits, name)                                                               \
  uint##bits##_t __tsan_atomic##bits##_fetch_##name(volatile uint##bits##_t* p, uint##bits##_t x, \
                                                    int) {                                        \
    return __atomic_fetch_##name(p, x, __ATOMIC_SEQ_CST);                                         \
  }
#define PROTOPAGE_COMPARE_EXCHANGE(bits, name, weak)                                              \
  int __tsan_atomic##bits##_compare_exchange_##name(                                              \
      volatile uint##bits##_t* p, uint##bits##_t* expected, uint##bits##_t x, int, int) {         \
    return __atomic_compare_exchange_n(p, expected, x, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define PROTOPAGE_ATOMIC(bits)                                                                \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* p, int) {          \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                              \
  }                                                                                           \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* p, uint##bits##_t x, int) {       \
    __atomic_store_n(p, x, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                           \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t* p, uint##bits##_t x, \
                                                int) {                                        \
    return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);                                       \
  }                                                                                           \
  PROTOPAGE_FETCH(bits, add)                                                                  \
  PROTOPAGE_FETCH(bits, sub)                                                                  \
  PROTOPAGE_FETCH(bits, and)                                                                  \
  PROTOPAGE_FETCH(bits, or)                                                                   \
  PROTOPAGE_FETCH(bits, xor)                                                                  \
  PROTOPAGE_COMPARE_EXCHANGE(bits, strong, false)                                             \
  PROTOPAGE_COMPARE_EXCHANGE(bits, weak, true)
PROTOPAGE_ATOMIC(8)
PROTOPAGE_ATOMIC(16)
PROTOPAGE_ATOMIC(32)
PROTOPAGE_ATOMIC(64)
#undef PROTOPAGE_ATOMIC
#undef PROTOPAGE_COMPARE_EXCHANGE
#undef PROTOPAGE_FETCH

}  // extern "C"
