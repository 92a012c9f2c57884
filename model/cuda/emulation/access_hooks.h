// The accesses to memory that kernels make, told one by one in the build --config=races, which
// compiles the emulated twins of kernels with -fsanitize=thread: the compiler then calls a function
// before each access, and those functions are ours, not ThreadSanitizer's.
//
//   if (AccessesAreTold()) SetAccessListener([](const void* p, size_t bytes, bool write) { ... });
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_

#include <cstddef>

namespace protopage {
namespace emulation {

// Whether this is that build.
bool AccessesAreTold();

// Called before each access of code compiled so, to whatever memory. It may come to call itself, as
// functions of headers may be those that were compiled so.
using AccessListener = void (*)(const void* pointer, size_t bytes, bool write);
void SetAccessListener(AccessListener listener);

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_HOOKS_H_
