// Kernels over the rows of a row-major matrix [rows, d], with a warp or a block for each row: unit
// length, the margin softmax, and the updates of unit rows. The formulas are those of
// model/backend.h; pointers are to device memory. Sums over a row are in double, in an order that
// depends on d alone.
//
//   const cudaError_t error = LaunchL2NormalizeRows(stream, x, rows, d, y, norms);
#ifndef PROTOPAGE_MODEL_CUDA_ROW_KERNELS_H_
#define PROTOPAGE_MODEL_CUDA_ROW_KERNELS_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

cudaError_t LaunchL2NormalizeRows(cudaStream_t stream, const float* x, int64_t rows, int64_t d,
                                  float* y, float* norms);
cudaError_t LaunchL2NormalizeRowsBackward(cudaStream_t stream, const float* y, const float* norms,
                                          const float* d_y, int64_t rows, int64_t d, float* d_x);

// The loss of a row whose slot is outside [0, k) is NaN.
cudaError_t LaunchMarginSoftmax(cudaStream_t stream, const MarginParams& params,
                                const float* cosines, const int32_t* slots, float grad_scale,
                                int64_t rows, int64_t k, float* losses, float* d_cosines,
                                int32_t* predicted);

cudaError_t LaunchRowMomentum(cudaStream_t stream, const RowMomentumParams& params,
                              const int32_t* away, int64_t rows, int64_t d, float* w, float* v,
                              float* g);
cudaError_t LaunchRowAdagrad(cudaStream_t stream, const RowAdagradParams& params, int64_t rows,
                             int64_t d, float* w, float* accumulator, float* g);

// dst[i] = src[from[i]] where from[i] >= 0, for rows of `row_bytes` bytes.
cudaError_t LaunchCopyRows(cudaStream_t stream, const void* src, const int32_t* from, int64_t rows,
                           int64_t row_bytes, void* dst);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_ROW_KERNELS_H_
