// Elementwise kernels. The formulas are those of model/backend.h; pointers are to device memory,
// `n` counts elements, and y may be x (or a, or d_y) where Backend allows that. void* arrays are
// feature maps in `format`.
//
//   const cudaError_t error = LaunchAdd(stream, NumberFormat::kBf16, a, b, n, y);
//
// Each Launch function queues its work on `stream` and returns; with n = 0 it does nothing.
#ifndef PROTOPAGE_MODEL_CUDA_ELEMENTWISE_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_ELEMENTWISE_KERNELS_H_

#include <cstdint>

#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

cudaError_t LaunchFill(cudaStream_t stream, float value, int64_t n, float* x);
cudaError_t LaunchImagesToFloat(cudaStream_t stream, const uint8_t* x, int64_t n, float scale,
                                float shift, NumberFormat format, void* y);
cudaError_t LaunchReluForward(cudaStream_t stream, NumberFormat format, const void* x, int64_t n,
                              void* y);
cudaError_t LaunchReluBackward(cudaStream_t stream, NumberFormat format, const void* y,
                               const void* d_y, int64_t n, void* d_x);
cudaError_t LaunchAdd(cudaStream_t stream, NumberFormat format, const void* a, const void* b,
                      int64_t n, void* y);
// y += alpha x
cudaError_t LaunchAxpy(cudaStream_t stream, NumberFormat format, float alpha, const void* x,
                       int64_t n, void* y);
cudaError_t LaunchScale(cudaStream_t stream, float alpha, int64_t n, float* x);
// `step` is in device memory, so that each run of a recorded launch reads its own step.
cudaError_t LaunchDropout(cudaStream_t stream, NumberFormat format, float rate, uint64_t key,
                          const uint64_t* step, const void* x, int64_t n, void* y);

// y[i] = x[i]
cudaError_t LaunchConvert(cudaStream_t stream, NumberFormat from, const void* x, int64_t n,
                          NumberFormat to, void* y);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_ELEMENTWISE_KERNELS_H_
