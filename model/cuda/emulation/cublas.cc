#include "protopage/model/cuda/cublas.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "Eigen/Core"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/mutex.h"
#include "protopage/model/cuda/emulation/runtime.h"

// A handle of the emulated library.
struct cublasContext {
  cudaStream_t stream = nullptr;
};

namespace protopage {
namespace {

using ColMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

// The version of cuBLAS that is emulated.
constexpr int kVersion = 130000;

size_t BytesOf(cudaDataType type) { return type == CUDA_R_32F ? sizeof(float) : sizeof(uint16_t); }

float RoundToTf32(float x) { return FromTf32Bits(ToTf32Bits(x)); }

// A matrix in device memory as cuBLAS takes it: stored as `rows` x `cols`, with `leading` elements
// from column to column, and used as it is or transposed.
struct Matrix {
  const void* data;
  cudaDataType type;
  bool transposed;
  int64_t rows, cols, leading;

  // The size of the memory that it spans.
  size_t bytes() const {
    return rows == 0 || cols == 0
               ? 0
               : static_cast<size_t>((cols - 1) * leading + rows) * BytesOf(type);
  }

  // The matrix as it is used, in float32. A copy, so that the product does not depend on the
  // address.
  ColMatrix Load(bool tf32) const {
    ColMatrix out(transposed ? cols : rows, transposed ? rows : cols);
    ColMatrix column(rows, 1);
    for (int64_t j = 0; j < cols; ++j) {
      if (type == CUDA_R_32F) {
        const float* const from = static_cast<const float*>(data) + j * leading;
        for (int64_t i = 0; i < rows; ++i) column(i, 0) = tf32 ? RoundToTf32(from[i]) : from[i];
      } else {
        const uint16_t* const from = static_cast<const uint16_t*>(data) + j * leading;
        for (int64_t i = 0; i < rows; ++i) {
          column(i, 0) = type == CUDA_R_16F ? FromHalfBits(from[i]) : FromBf16Bits(from[i]);
        }
      }
      if (transposed) {
        out.row(j) = column.transpose();
      } else {
        out.col(j) = column;
      }
    }
    return out;
  }
};

// Reports the access to each column.
absl::Status Note(const Matrix& matrix, bool write) {
  absl::Status status;
  const size_t column = static_cast<size_t>(matrix.rows) * BytesOf(matrix.type);
  for (int64_t j = 0; j < matrix.cols; ++j) {
    const char* const at = static_cast<const char*>(matrix.data) +
                           static_cast<size_t>(j * matrix.leading) * BytesOf(matrix.type);
    status.Update(write ? emulation::NoteWrite("cuBLAS", at, column)
                        : emulation::NoteRead("cuBLAS", at, column));
  }
  return status;
}

void Multiply(const Matrix& a, const Matrix& b, bool tf32, float alpha, float beta, float* c,
              int64_t ldc, int64_t m, int64_t n) {
  ColMatrix product(m, n);
  if (alpha != 0.0f) {
    product.noalias() = a.Load(tf32) * b.Load(tf32);
  } else {
    product.setZero();  // cuBLAS does not read A and B then.
  }
  for (int64_t j = 0; j < n; ++j) {
    float* const column = c + j * ldc;
    const float* const from = product.data() + j * m;
    if (beta == 0.0f) {
      for (int64_t i = 0; i < m; ++i) column[i] = alpha * from[i];
    } else {
      for (int64_t i = 0; i < m; ++i) column[i] = alpha * from[i] + beta * column[i];
    }
  }
}

// The handles that exist.
struct HandleSet {
  static HandleSet& The() {
    static auto* const handles = new HandleSet();
    return *handles;
  }

  Mutex mutex;
  std::set<cublasHandle_t> handles ABSL_GUARDED_BY(mutex);
};

bool Exists(cublasHandle_t handle) {
  HandleSet& all = HandleSet::The();
  const MutexLock lock(all.mutex);
  return all.handles.count(handle) > 0;
}

cublasStatus_t Create(cublasHandle_t* handle) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  HandleSet& all = HandleSet::The();
  const MutexLock lock(all.mutex);
  *handle = new cublasContext();
  all.handles.insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t Destroy(cublasHandle_t handle) {
  HandleSet& all = HandleSet::The();
  const MutexLock lock(all.mutex);
  if (all.handles.erase(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t SetStream(cublasHandle_t handle, cudaStream_t stream) {
  if (!Exists(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t SetWorkspace(cublasHandle_t handle, void* workspace, size_t) {
  if (!Exists(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  const bool aligned = reinterpret_cast<uintptr_t>(workspace) % 256 == 0;
  return aligned ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t GetVersion(cublasHandle_t handle, int* version) {
  if (!Exists(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  *version = kVersion;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t GemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t trans_a,
                                    cublasOperation_t trans_b, int m, int n, int k,
                                    const void* alpha, const void* a, cudaDataType a_type, int lda,
                                    long long stride_a, const void* b, cudaDataType b_type, int ldb,
                                    long long stride_b, const void* beta, void* c,
                                    cudaDataType c_type, int ldc, long long stride_c, int batch,
                                    cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (!Exists(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || k < 0 || batch < 0 || alpha == nullptr || beta == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool input_known = a_type == CUDA_R_32F || a_type == CUDA_R_16F || a_type == CUDA_R_16BF;
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (!input_known || a_type != b_type || c_type != CUDA_R_32F ||
      (compute != CUBLAS_COMPUTE_32F && !tf32) || (tf32 && a_type != CUDA_R_32F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool a_transposed = trans_a != CUBLAS_OP_N;
  const bool b_transposed = trans_b != CUBLAS_OP_N;
  const int a_rows = a_transposed ? k : m;
  const int b_rows = b_transposed ? n : k;
  if (lda < std::max(1, a_rows) || ldb < std::max(1, b_rows) || ldc < std::max(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (m == 0 || n == 0 || batch == 0) return CUBLAS_STATUS_SUCCESS;

  const Matrix a_matrix = {a, a_type, a_transposed, a_rows, a_transposed ? m : k, lda};
  const Matrix b_matrix = {b, b_type, b_transposed, b_rows, b_transposed ? k : n, ldb};
  const Matrix c_matrix = {c, c_type, false, m, n, ldc};
  const auto at = [](const Matrix& matrix, long long stride, int i) {
    Matrix moved = matrix;
    moved.data = static_cast<const char*>(matrix.data) +
                 i * stride * static_cast<long long>(BytesOf(matrix.type));
    return moved;
  };
  std::vector<emulation::DeviceRange> ranges;
  for (const int i : {0, batch - 1}) {
    for (const auto& [matrix, stride, what] :
         {std::make_tuple(a_matrix, stride_a, "cuBLAS, matrix A"),
          std::make_tuple(b_matrix, stride_b, "cuBLAS, matrix B"),
          std::make_tuple(c_matrix, stride_c, "cuBLAS, matrix C")}) {
      ranges.push_back({at(matrix, stride, i).data, matrix.bytes(), what});
    }
  }
  float alpha_value, beta_value;
  std::memcpy(&alpha_value, alpha, sizeof(float));
  std::memcpy(&beta_value, beta, sizeof(float));
  const cudaError_t error = emulation::Enqueue(handle->stream, std::move(ranges), [=] {
    absl::Status status;
    for (int i = 0; i < batch; ++i) {
      const Matrix of_a = at(a_matrix, stride_a, i), of_b = at(b_matrix, stride_b, i);
      const Matrix of_c = at(c_matrix, stride_c, i);
      Multiply(of_a, of_b, tf32, alpha_value, beta_value, static_cast<float*>(c) + i * stride_c,
               ldc, m, n);
      if (alpha_value != 0.0f) {
        status.Update(Note(of_a, /*write=*/false));
        status.Update(Note(of_b, /*write=*/false));
      }
      if (beta_value != 0.0f) status.Update(Note(of_c, /*write=*/false));
      status.Update(Note(of_c, /*write=*/true));
    }
    return status;
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t GemmEx(cublasHandle_t handle, cublasOperation_t trans_a, cublasOperation_t trans_b,
                      int m, int n, int k, const void* alpha, const void* a, cudaDataType a_type,
                      int lda, const void* b, cudaDataType b_type, int ldb, const void* beta,
                      void* c, cudaDataType c_type, int ldc, cublasComputeType_t compute,
                      cublasGemmAlgo_t algorithm) {
  return GemmStridedBatchedEx(handle, trans_a, trans_b, m, n, k, alpha, a, a_type, lda, 0, b,
                              b_type, ldb, 0, beta, c, c_type, ldc, 0, 1, compute, algorithm);
}

}  // namespace

absl::StatusOr<const CublasApi*> LoadCublas() {
  static constexpr CublasApi kApi = {
      &Create, &Destroy, &SetStream, &SetWorkspace, &GemmEx, &GemmStridedBatchedEx, &GetVersion};
  return &kApi;
}

}  // namespace protopage
