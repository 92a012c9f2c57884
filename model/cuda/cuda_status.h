// Errors of CUDA as absl::Status.
//
//   PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream)));
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_

#include "absl/status/status.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

// The message is like "cudaErrorIllegalAddress: an illegal memory access was encountered". Errors:
// ResourceExhausted (out of memory), else Internal. Work runs asynchronously: the error may be that
// of work queued before.
absl::Status CudaStatus(cudaError_t error);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_
