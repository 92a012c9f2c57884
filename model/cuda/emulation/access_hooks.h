// Reports each memory access of a kernel. With --config=races the emulated twins of kernels are
// compiled with -fsanitize=thread, which makes the compiler call a function before each access; the
// functions linked are ours, not those of ThreadSanitizer.
//
//   if (AccessesAreReported()) {
//     SetAccessListener([](const void* p, size_t bytes, bool write) { ... });
//   }
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_

#include <cstddef>

namespace protopage {
namespace emulation {

// Whether this is such a build.
bool AccessesAreReported();

// Called before each access, to any memory, of code compiled this way. It may be entered
// recursively: the linker may choose the instrumented copy of an inline function that it calls.
using AccessListener = void (*)(const void* pointer, size_t bytes, bool write);
void SetAccessListener(AccessListener listener);

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_
