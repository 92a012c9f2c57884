// Notifications to AddressSanitizer: of switches between stacks, and of memory that must not be
// accessed for a while. In a build without it they do nothing.
//
//   PoisonMemory(p, bytes);    // From now on an access to [p, p + bytes) is reported as an error.
//   UnpoisonMemory(p, bytes);  // Required before the memory is used or freed.
//
// No other file of the emulation depends on the sanitizer of the build.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_ADDRESS_SANITIZER_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_ADDRESS_SANITIZER_H_

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace protopage {
namespace emulation {

#ifdef __SANITIZE_ADDRESS__

constexpr bool kAddressSanitizer = true;
inline void StartSwitch(void** fake_stack, const void* stack, size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
}
inline void FinishSwitch(void* fake_stack, const void** old_stack, size_t* old_bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, old_stack, old_bytes);
}
inline void PoisonMemory(const void* memory, size_t bytes) {
  __asan_poison_memory_region(memory, bytes);
}
inline void UnpoisonMemory(const void* memory, size_t bytes) {
  __asan_unpoison_memory_region(memory, bytes);
}

#else

constexpr bool kAddressSanitizer = false;
// See __sanitizer_start_switch_fiber() in <sanitizer/common_interface_defs.h>.
inline void StartSwitch(void**, const void*, size_t) {}
inline void FinishSwitch(void*, const void**, size_t*) {}
inline void PoisonMemory(const void*, size_t) {}
inline void UnpoisonMemory(const void*, size_t) {}

#endif

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ADDRESS_SANITIZER_H_
