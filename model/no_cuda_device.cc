#include "absl/status/status.h"
#include "protopage/model/cuda_device.h"

namespace protopage {

bool HasCudaBackend() { return false; }

absl::StatusOr<std::unique_ptr<Backend>> NewCudaDevice(const CudaBackendOptions&) {
  return absl::FailedPreconditionError(
      "this binary was built without CUDA; build with --config=cuda");
}

}  // namespace protopage
