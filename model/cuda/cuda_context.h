// CudaContext: what the operations of the CUDA backend share: two streams, the device's
// memory, cuBLAS, scratch arrays, and copies from the host that do not wait.
//
// All work goes to stream(), in the order of calls. What is asked for with one shape again and
// again allocates nothing and waits for nothing after the first time.
#ifndef PROTOPAGE_MODEL_CUDA_CUDA_CONTEXT_H_
#define PROTOPAGE_MODEL_CUDA_CUDA_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/cuda/cublas.h"
#include "protopage/model/cuda/cuda_options.h"
#include "protopage/model/cuda/device_memory.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/tensor.h"

namespace protopage {

// Memory of the host that the device copies from and to by itself.
// Errors: ResourceExhausted.
absl::StatusOr<std::shared_ptr<Buffer>> AllocatePinned(int64_t bytes);

struct DestroyCuda {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using CudaStream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyCuda>;
using CudaEvent = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyCuda>;
using CudaGraph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyCuda>;
using CudaGraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, DestroyCuda>;

// To wait for, without a time.
absl::StatusOr<CudaEvent> NewEvent();

class CudaContext {
 public:
  // Errors: FailedPrecondition (no driver, no GPU, no cuBLAS: the reason), InvalidArgument (no GPU
  // of this number), ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<CudaContext>> Create(const CudaBackendOptions& options);
  ~CudaContext();

  const CudaBackendOptions& options() const { return options_; }
  const std::string& gpu_name() const { return gpu_name_; }  // "NVIDIA H100, sm_90"
  cudaStream_t stream() const { return stream_.get(); }
  // For copies beside the work of stream().
  cudaStream_t copy_stream() const { return copy_stream_.get(); }
  DeviceMemory& memory() const { return *memory_; }

  // How products take their inputs, and feature maps are stored.
  NumberFormat format() const;

  // Scratch arrays of one operation, distinguished by `slot`; their contents are unspecified. They
  // grow to the largest need and are then reused. Errors: ResourceExhausted.
  enum Slot { kColumns, kRoundedA, kRoundedB, kProduct, kPartials, kSums, kFactors, kNumSlots };
  template <typename T = float>
  absl::StatusOr<T*> Scratch(Slot slot, int64_t count) {
    PROTOPAGE_ASSIGN_OR_RETURN(void* data, Reserve(slot, count * static_cast<int64_t>(sizeof(T))));
    return static_cast<T*>(data);
  }

  // `bytes` bytes of the host to the device. `src` is free when it returns. Errors:
  // FailedPrecondition in Record.
  absl::Status CopyFromHost(const void* src, void* dst, int64_t bytes);
  // Queues a copy to pinned memory.
  absl::Status Download(const void* src, void* dst, int64_t bytes);
  // Waits for the work up to the last Download, also of a graph. Errors: FailedPrecondition in
  // Record.
  absl::Status FinishDownloads();
  // The same bytes on the device, at a multiple of 256, until the next call. What was asked for
  // lately is still there and is not copied again.
  absl::StatusOr<const char*> Table(const std::vector<char>& bytes);

  // *step() on the device is `step` for the work that follows.
  absl::Status SetStep(uint64_t step);
  const uint64_t* step() const { return static_cast<const uint64_t*>(step_memory_->data()); }

  struct Recorded {
    CudaGraphExec graph;
    bool downloads = false;  // Whether some are in it.
  };
  // What `operations` give to stream(), as a graph; none of it is done. Errors: those of
  // `operations`, which must neither allocate nor wait nor copy from the host.
  absl::StatusOr<Recorded> Record(absl::FunctionRef<absl::Status()> operations);
  absl::Status Launch(const Recorded& recorded);
  // Grows whenever memory that an operation was given is free for others, or a table is replaced.
  int64_t given_back() const { return memory_->given_back() + tables_replaced_; }

  // Waits for all work of stream(). Errors: FailedPrecondition in Record.
  absl::Status Wait();

  // c [rows, cols] = alpha op(a) op(b) + beta c, all row-major without gaps; op transposes. a and b
  // are in `format`, c is float32.
  struct Product {
    int64_t rows, cols, depth;
    const void* a;
    bool transpose_a;
    const void* b;
    bool transpose_b;
    float alpha, beta;
    float* c;
    // So many of them, where the matrices of each lie so many elements after those of the one
    // before.
    int64_t count = 1, a_step = 0, b_step = 0, c_step = 0;
  };
  absl::Status Multiply(const Product& product);
  // x as an input of products: x itself, or rounded to the format in the scratch of `slot`.
  absl::StatusOr<const void*> Rounded(Slot slot, const float* x, int64_t n);

 private:
  // Pinned memory that waits for its copies to the device before it is used again.
  struct Stage {
    std::shared_ptr<Buffer> memory;
    CudaEvent copied;
    int64_t used = 0;
    bool in_flight = false;  // `copied` has been recorded and not waited for.
  };
  struct CachedTable {
    std::vector<char> bytes;
    std::shared_ptr<Buffer> device;
    int64_t last_use = 0;
  };

  explicit CudaContext(const CudaBackendOptions& options) : options_(options) {}
  absl::Status Init();
  // The work so far is what FinishDownloads waits for.
  absl::Status NoteDownloads();
  // The copies from stages_ have been made.
  void EmptyStages();
  absl::StatusOr<void*> Reserve(Slot slot, int64_t bytes);

  const CudaBackendOptions options_;
  std::string gpu_name_;
  std::shared_ptr<DeviceMemory> memory_ = std::make_shared<DeviceMemory>();
  CudaStream stream_, copy_stream_;
  const CublasApi* cublas_ = nullptr;
  cublasHandle_t cublas_handle_ = nullptr;
  std::shared_ptr<Buffer> cublas_workspace_;
  std::shared_ptr<Buffer> scratch_[kNumSlots];
  std::shared_ptr<Buffer> step_memory_;
  uint64_t step_ = 0;  // In step_memory_.
  bool recording_ = false, recorded_downloads_ = false;
  Stage stages_[2];
  int stage_ = 0;  // The one that is being filled.
  CudaEvent downloaded_;
  bool staged_since_ = false;  // CopyFromHost was called since downloaded_ was recorded.
  std::vector<CachedTable> tables_;
  int64_t table_uses_ = 0, tables_replaced_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_CONTEXT_H_
