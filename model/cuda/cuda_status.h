// Errors of CUDA as absl::Status.
//
//   PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream)));
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_

#include "absl/status/status.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

// "cudaErrorIllegalAddress: an illegal memory access was encountered". Errors: ResourceExhausted
// (memory), else Internal. Work runs behind the host: an error may come from what was queued
// before.
absl::Status CudaStatus(cudaError_t error);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_STATUS_H_
