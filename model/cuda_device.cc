#include "protopage/model/cuda_device.h"

#include "protopage/model/cuda/cuda_backend.h"

namespace protopage {

bool HasCudaBackend() { return true; }

absl::StatusOr<std::unique_ptr<Backend>> NewCudaDevice(const CudaBackendOptions& options) {
  return NewCudaBackend(options);
}

}  // namespace protopage
