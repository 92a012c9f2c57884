#include "model/cuda_device.h"

#include "model/cuda/cuda_backend.h"

namespace protopage {

bool HasCudaBackend() { return true; }

absl::StatusOr<std::unique_ptr<Backend>> NewCudaDevice(Precision precision) {
  CudaBackendOptions options;
  options.precision = precision;
  return NewCudaBackend(options);
}

}  // namespace protopage
