// The functions of cuBLAS in use, as a table that is filled when the program runs, so
// that nothing links cuBLAS and a program starts where there is none.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const CublasApi* cublas, LoadCublas());
//   cublasHandle_t handle;
//   if (cublas->create(&handle) != CUBLAS_STATUS_SUCCESS) ...
//   cublas->set_stream(handle, stream);
//   // Row-major C [m, n] = A [m, k] B [k, n] is column-major C^T = B^T A^T:
//   cublas->gemm_ex(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, &one, b, CUDA_R_32F, n, a,
//                   CUDA_R_32F, k, &zero, c, CUDA_R_32F, n, CUBLAS_COMPUTE_32F,
//                   CUBLAS_GEMM_DEFAULT);
//
// Each is the function of cuBLAS (its newest version, as "cublas_v2.h" gives it)
// whose name it is part of.
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
  // To be called after set_stream(), which goes back to cuBLAS' own workspace.
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

// The table, made at the first call and the same for all. Safe to call from several
// threads.
// Errors: NotFound (no cuBLAS, or not all functions in it; says where was looked).
absl::StatusOr<const CublasApi*> LoadCublas();

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUBLAS_H_
