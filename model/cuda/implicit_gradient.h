// The gradient of a convolution's kernel on tensor cores without the matrix of its windows: d_w =
// windows^T d_y, whose tiles are read from x when they are needed, as model/cuda/implicit_gemm.h
// does.
//
//   const int64_t parts = ImplicitGradientParts(window);
//   ... sums: [parts, kernel_h, kernel_w, in_c, out_c] ...
//   LaunchImplicitGradient(stream, window, precision, x, d_y, parts, sums);
//   ... d_w is their sum ...
//
// A product that sums over all positions is small: parts of them, side by side, keep the whole
// device at work. x and d_y are feature maps as Precision has them; sums are float32. Pointers are
// the device's.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/precision.h"

namespace protopage {

// How many parts there are: a function of the window alone, as the bits of d_w are.
int64_t ImplicitGradientParts(const Window2d& window);

// `window` is one that ImplicitGemmTakes. x, with ImplicitChannels(), and d_y lie at multiples of
// 16, sums of 8.
cudaError_t LaunchImplicitGradient(cudaStream_t stream, const Window2d& window, Precision precision,
                                   const void* x, const void* d_y, int64_t parts, float* sums);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_GRADIENT_H_
