// The CUDA backend: implements model/backend.h on one GPU, with cuBLAS for products.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCudaBackend());
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {256, 32, 32, 3}));
//   std::string name = backend->Description();  // "cuda (NVIDIA H100 80GB HBM3, sm_90, float32)"
//
// Operations queue their work and return; the host waits only in CopyToHost, FinishDownloads,
// Synchronize, Mean and AllFinite. So an error of the device may be returned by a later operation
// than the one that failed. Such an error is permanent: the backend cannot be used any further. No
// operation uses float atomics: on one GPU model, equal inputs yield equal bits. The memory of a
// released tensor is kept for the next tensor of its size, so that repeating operations with the
// same shapes allocates nothing.
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_BACKEND_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_BACKEND_H_

#include <memory>

#include "absl/status/statusor.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_options.h"

namespace protopage {

// Tensors may outlive the backend.
// Errors: FailedPrecondition (no driver, no GPU: the reason), NotFound (no cuBLAS), InvalidArgument
// (the machine has no GPU of this number), ResourceExhausted.
absl::StatusOr<std::unique_ptr<Backend>> NewCudaBackend(const CudaBackendOptions& options = {});

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_BACKEND_H_
