// The CPU backend: model/backend.h on the threads of a ThreadPool.
//
//   ThreadPool pool(0);
//   PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCpuBackend(&pool));
//   PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {64, 32, 32, 3}));
//
// Kernels exist for AVX2 + FMA (x86-64-v3) and AVX-512 (x86-64-v4); the widest that the processor
// supports (base/cpu_features.h) is chosen. For one instruction set, the bits of every result
// depend on its inputs only, not on the number of threads; two sets may differ in the last places.
#ifndef PROTOPAGE_MODEL_CPU_CPU_BACKEND_H_
#define PROTOPAGE_MODEL_CPU_CPU_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/backend.h"

namespace protopage {

struct CpuBackendOptions {
  // "avx2", "avx512", or "auto": the set that the environment variable PROTOPAGE_ISA names, else
  // the widest that the processor supports.
  std::string isa = "auto";
};

// `pool` must outlive the backend; tensors may outlive both. Errors: InvalidArgument (an unknown
// instruction set), FailedPrecondition (the processor does not support it).
absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(ThreadPool* pool,
                                                       const CpuBackendOptions& options = {});

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_CPU_BACKEND_H_
