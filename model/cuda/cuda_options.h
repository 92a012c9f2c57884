// CudaBackendOptions: which GPU, and how it computes.
//
//   NewCudaBackend({.device = 0, .precision = Precision::kTf32});
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_

#include <cstdint>

#include "protopage/model/backend.h"

namespace protopage {

// By products of columns, which cuBLAS computes; without columns (model/cuda/implicit_gemm.h),
// where that can be; or by what was faster on a GPU, where that was measured.
enum class ConvolutionMethod { kFastest, kColumns, kImplicit };

struct CudaBackendOptions {
  // Which of the machine's GPUs. Other than 0, one thread must make the backend, use it, and let go
  // of the last of its tensors.
  int device = 0;
  Precision precision = Precision::kFloat32;
  // The columns of a convolution are made in tiles of at most this, or of one row. A tile should
  // still be in the L2 cache (40 MB on an A100, 50 on an H100) when its product reads it.
  int64_t workspace_bytes = int64_t{32} << 20;
  ConvolutionMethod convolutions = ConvolutionMethod::kFastest;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_
