// Parts that both ways to compute the gradients of a convolution share (model/cpu/convolution.h,
// model/cpu/winograd.h): the gradient of the kernel is summed over fixed blocks of the batch,
// whatever the number of threads, and then over the blocks.
#ifndef PROTOPAGE_MODEL_CPU_CONVOLUTION_PARTS_H_
#define PROTOPAGE_MODEL_CPU_CONVOLUTION_PARTS_H_

#include <cstdint>

#include "protopage/model/cpu/vector_kernels.h"

namespace protopage {

// The number of blocks of the batch, each of which has a partial gradient of the kernel.
constexpr int64_t kMaxPartials = 16;
// For kernels above this size (in floats) partial gradients would cost more than they save: columns
// are then computed in parallel, each over the whole batch.
constexpr int64_t kMaxPartialSize = int64_t{64} << 10;

// For `rows` rows [out_c] of d_y: zeroes the elements that the relu of y masked, if y is not null,
// and then adds the rows to bias_sums [out_c], if `bias`. sums [out_c] is scratch.
void PrepareOutputGradient(const VectorKernels& vector, const float* y, int64_t rows, int64_t out_c,
                           bool bias, float* d_y, float* sums, float* bias_sums);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_CONVOLUTION_PARTS_H_
