#include "protopage/model/device.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/logging.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/cpu/cpu_backend.h"
#include "protopage/model/cuda_device.h"

namespace protopage {

absl::StatusOr<std::unique_ptr<Backend>> NewBackend(absl::string_view device,
                                                    const DeviceOptions& options,
                                                    ThreadPool* pool) {
  if (device != "auto" && device != "cpu" && device != "cuda") {
    return absl::InvalidArgumentError(
        absl::StrCat("device: found \"", device, "\", expected auto, cpu or cuda"));
  }
  if (device == "cuda" || (device == "auto" && HasCudaBackend())) {
    CudaBackendOptions cuda = options.cuda;
    cuda.precision = options.precision;
    absl::StatusOr<std::unique_ptr<Backend>> backend = NewCudaDevice(cuda);
    if (backend.ok()) return backend;
    const bool absent =
        absl::IsFailedPrecondition(backend.status()) || absl::IsNotFound(backend.status());
    if (device == "cuda" || !absent) {
      return WithContext(backend.status(), absl::StrCat("device ", device));
    }
    if (options.precision == Precision::kFloat32) {
      LogInfo(absl::StrCat("device auto: running on the CPU: ", backend.status().message()));
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "precision: found ", PrecisionName(options.precision), ", and device auto found no GPU (",
          backend.status().message(), "); the CPU computes in float32 only"));
    }
  }
  if (options.precision != Precision::kFloat32) {
    return absl::InvalidArgumentError(
        absl::StrCat("precision: found ", PrecisionName(options.precision), " with device ", device,
                     "; the CPU computes in float32 only"));
  }
  return NewCpuBackend(pool);
}

}  // namespace protopage
