// One kernel for two instruction sets, see protopage_isa_library.

#ifndef PROTOPAGE_TESTS_BUILD_ISA_EXAMPLE_H_
#define PROTOPAGE_TESTS_BUILD_ISA_EXAMPLE_H_

#include <cstdint>

namespace protopage {

// Both return the sum of x[i] * y[i] for i in [0, n).
namespace avx2 {
float Dot(const float* x, const float* y, int64_t n);
}  // namespace avx2
namespace avx512 {
float Dot(const float* x, const float* y, int64_t n);
}  // namespace avx512

}  // namespace protopage

#endif  // PROTOPAGE_TESTS_BUILD_ISA_EXAMPLE_H_
