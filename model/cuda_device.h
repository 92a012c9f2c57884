// The CUDA backend of this program, for model/device.h: cuda_device.cc in a program built with
// --config=cuda, no_cuda_device.cc in any other. This header uses no types of CUDA.
#ifndef PROTOPAGE_MODEL_CUDA_DEVICE_H_
#define PROTOPAGE_MODEL_CUDA_DEVICE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_options.h"

namespace protopage {

bool HasCudaBackend();

// Errors: FailedPrecondition (the program has no CUDA backend; the machine no GPU
// or driver), NotFound (it has no cuBLAS), ResourceExhausted.
absl::StatusOr<std::unique_ptr<Backend>> NewCudaDevice(const CudaBackendOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_DEVICE_H_
