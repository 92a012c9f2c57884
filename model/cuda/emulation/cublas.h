// The types of cuBLAS, emulated, with the values of the real ones, as far as model/cuda/cublas.h
// needs them. The functions are in cublas.cc.
//
// Products are as cuBLAS documents them: column-major, queued on the stream of the handle, with
// alpha and beta read from the host at the call, and C not read if beta is 0. A and B are both
// float32, float16 or bfloat16, sums and C are float32; other types yield
// CUBLAS_STATUS_NOT_SUPPORTED. With CUBLAS_COMPUTE_32F_FAST_TF32 the inputs are rounded to TF32 (10
// bits of mantissa, to nearest, ties away from zero). The same call yields the same bits.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_CUBLAS_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_CUBLAS_H_

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_ARCH_MISMATCH = 8,
  CUBLAS_STATUS_MAPPING_ERROR = 11,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_INTERNAL_ERROR = 14,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
  CUBLAS_STATUS_LICENSE_ERROR = 16,
};

enum cublasOperation_t {
  CUBLAS_OP_N = 0,
  CUBLAS_OP_T = 1,
  CUBLAS_OP_C = 2,  // Of real numbers, the same as CUBLAS_OP_T.
};

enum cudaDataType_t {
  CUDA_R_32F = 0,
  CUDA_R_16F = 2,
  CUDA_R_16BF = 14,
};
using cudaDataType = cudaDataType_t;

enum cublasComputeType_t {
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
};

enum cublasGemmAlgo_t {
  CUBLAS_GEMM_DEFAULT = -1,
};

struct cublasContext;
using cublasHandle_t = cublasContext*;

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_CUBLAS_H_
