// The functions of cuBLAS that are in use, as a table that is filled at run time. Nothing links
// cuBLAS, so that a program starts on a machine without it.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const CublasApi* cublas, LoadCublas());
//   cublasHandle_t handle;
//   cublasStatus_t status = cublas->create(&handle);
//   if (status == CUBLAS_STATUS_SUCCESS) status = cublas->set_stream(handle, stream);
//   // Row-major C [m, n] = A [m, k] B [k, n] is column-major C^T = B^T A^T:
//   if (status == CUBLAS_STATUS_SUCCESS) {
//     status = cublas->gemm_ex(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, &one, b, CUDA_R_32F, n,
//     a,
//                              CUDA_R_32F, k, &zero, c, CUDA_R_32F, n, CUBLAS_COMPUTE_32F,
//                              CUBLAS_GEMM_DEFAULT);
//   }
//
// Each entry is named after its function of cuBLAS, in the version that "cublas_v2.h" selects.
#ifndef PROTOPAGE_MODEL_CUDA_CUBLAS_H_
#define PROTOPAGE_MODEL_CUDA_CUBLAS_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {

struct CublasApi {
  cublasStatus_t (*create)(cublasHandle_t* handle) = nullptr;
  cublasStatus_t (*destroy)(cublasHandle_t handle) = nullptr;
  cublasStatus_t (*set_stream)(cublasHandle_t handle, cudaStream_t stream) = nullptr;
  // Call it after set_stream(), which resets the workspace to cuBLAS' own.
  cublasStatus_t (*set_workspace)(cublasHandle_t handle, void* workspace, size_t bytes) = nullptr;
  cublasStatus_t (*gemm_ex)(cublasHandle_t handle, cublasOperation_t trans_a,
                            cublasOperation_t trans_b, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm) = nullptr;
  cublasStatus_t (*gemm_strided_batched_ex)(
      cublasHandle_t handle, cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n,
      int k, const void* alpha, const void* a, cudaDataType a_type, int lda, long long stride_a,
      const void* b, cudaDataType b_type, int ldb, long long stride_b, const void* beta, void* c,
      cudaDataType c_type, int ldc, long long stride_c, int batch, cublasComputeType_t compute,
      cublasGemmAlgo_t algorithm) = nullptr;
  cublasStatus_t (*get_version)(cublasHandle_t handle, int* version) = nullptr;
};

// The table; the first call fills it, and all calls return the same one. Thread-safe.
// Errors: NotFound (no cuBLAS, or one that lacks a function; the message lists the places
// searched).
absl::StatusOr<const CublasApi*> LoadCublas();

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUBLAS_H_
