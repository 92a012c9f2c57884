// NewBackend: the backend for a device that the user names.
//
//   ThreadPool pool(0);
//   PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewBackend("auto", {}, &pool));
//   LogInfo(backend->Description());
//
// A program has the CUDA backend if it was built with --config=cuda. It also starts and runs on a
// machine without a GPU and without a driver.
#ifndef PROTOPAGE_MODEL_DEVICE_H_
#define PROTOPAGE_MODEL_DEVICE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/cuda_options.h"

namespace protopage {

struct DeviceOptions {
  Precision precision = Precision::kFloat32;
  // Further options of a GPU; the precision in them is ignored.
  CudaBackendOptions cuda = {};
};

// `device` is
//   "cpu"   the processor, with the threads of `pool`, which must outlive the backend;
//   "cuda"  the first GPU;
//   "auto"  the GPU if the program has the CUDA backend and the machine a GPU, a driver and cuBLAS;
//           else the processor. A program that has the backend logs one line with the reason for
//           falling back.
// Errors: InvalidArgument (another device; a precision other than float32 on the processor),
// FailedPrecondition ("cuda", and the program has no CUDA backend or the machine no GPU), NotFound
// ("cuda", and the machine has no cuBLAS), ResourceExhausted.
absl::StatusOr<std::unique_ptr<Backend>> NewBackend(absl::string_view device,
                                                    const DeviceOptions& options, ThreadPool* pool);

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_DEVICE_H_
