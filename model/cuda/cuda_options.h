// CudaBackendOptions: which GPU to use, and how to compute on it.
//
//   CudaBackendOptions options;
//   options.precision = Precision::kTf32;
//   PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCudaBackend(options));
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_

#include <cstdint>

#include "protopage/model/backend.h"

namespace protopage {

// kColumns: by the matrix of the windows and cuBLAS. kImplicit: without that matrix where possible
// (model/cuda/implicit_gemm.h). kFastest: the faster of the two, as measured (docs/gpu.md).
enum class ConvolutionMethod { kFastest, kColumns, kImplicit };

struct CudaBackendOptions {
  // The number of the GPU. Unless it is 0, one thread must create the backend, use it, and release
  // the last of its tensors.
  int device = 0;
  Precision precision = Precision::kFloat32;
  // The largest tile of the columns of a convolution; a tile has at least one row. It should still
  // be in the L2 cache (40 MB on an A100, 50 MB on an H100) when its product reads it.
  int64_t workspace_bytes = int64_t{32} << 20;
  ConvolutionMethod convolutions = ConvolutionMethod::kFastest;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_OPTIONS_H_
