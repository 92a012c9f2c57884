// CudaContext: the state that the operations of the CUDA backend share: two streams, device memory,
// cuBLAS, scratch arrays, and copies from the host that do not wait.
//
// All work is queued on stream(), in the order of the calls. Repeated requests of the same size
// allocate nothing and wait for nothing after the first time.
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

// Pinned host memory, which the device copies from and to asynchronously.
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

// An event for ordering only (timing disabled).
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
  // For copies concurrent with the work of stream().
  cudaStream_t copy_stream() const { return copy_stream_.get(); }
  DeviceMemory& memory() const { return *memory_; }

  // The format of feature maps and of the inputs of products.
  NumberFormat format() const;

  // Scratch arrays for one operation, one per `slot`, with unspecified contents. An array grows to
  // the largest size requested and is then reused. Errors: ResourceExhausted.
  enum Slot { kColumns, kRoundedA, kRoundedB, kProduct, kPartials, kSums, kFactors, kNumSlots };
  template <typename T = float>
  absl::StatusOr<T*> Scratch(Slot slot, int64_t count) {
    PROTOPAGE_ASSIGN_OR_RETURN(void* data, Reserve(slot, count * static_cast<int64_t>(sizeof(T))));
    return static_cast<T*>(data);
  }

  // Queues a copy of `bytes` bytes from the host to the device. `src` may be reused on return.
  // Errors: FailedPrecondition in Record.
  absl::Status CopyFromHost(const void* src, void* dst, int64_t bytes);
  // Queues a copy to pinned memory.
  absl::Status Download(const void* src, void* dst, int64_t bytes);
  // Waits for the work up to the last Download, including downloads in a graph. Errors:
  // FailedPrecondition in Record.
  absl::Status FinishDownloads();
  // Returns a copy of `bytes` on the device, aligned to 256 bytes, valid until the next call.
  // Recently requested tables are cached, not copied again.
  absl::StatusOr<const char*> Table(const std::vector<char>& bytes);

  // Sets *step() on the device to `step` for the work that follows.
  absl::Status SetStep(uint64_t step);
  const uint64_t* step() const { return static_cast<const uint64_t*>(step_memory_->data()); }

  struct Recorded {
    CudaGraphExec graph;
    bool downloads = false;  // Whether the graph contains any.
  };
  // Records the work that `operations` queue on stream() as a graph, without running it.
  // `operations` must not allocate, wait, or copy from the host. Errors: those of `operations`.
  absl::StatusOr<Recorded> Record(absl::FunctionRef<absl::Status()> operations);
  absl::Status Launch(const Recorded& recorded);
  // Changes whenever memory that an operation has used is released for others, or a table is
  // replaced. A recorded graph is valid only as long as this stays the same.
  int64_t memory_epoch() const { return memory_->blocks_released() + tables_replaced_; }

  // Waits for all work of stream(). Errors: FailedPrecondition in Record.
  absl::Status Wait();

  // c [rows, cols] = alpha op(a) op(b) + beta c, all row-major without gaps; op transposes if asked
  // to. a and b are in format(), c is float32.
  struct Product {
    int64_t rows, cols, depth;
    const void* a;
    bool transpose_a;
    const void* b;
    bool transpose_b;
    float alpha, beta;
    float* c;
    // The number of products, and the distances in elements between the matrices of one and the
    // next.
    int64_t count = 1, a_step = 0, b_step = 0, c_step = 0;
  };
  absl::Status Multiply(const Product& product);
  // Returns x as an input of products: x itself, or x rounded to format() in the scratch of `slot`.
  absl::StatusOr<const void*> Rounded(Slot slot, const float* x, int64_t n);

 private:
  // Pinned memory; reused once its copies to the device are done.
  struct Stage {
    std::shared_ptr<Buffer> memory;
    CudaEvent copied;
    int64_t used = 0;
    bool in_flight = false;  // `copied` was recorded and has not been waited for.
  };
  struct CachedTable {
    std::vector<char> bytes;
    std::shared_ptr<Buffer> device;
    int64_t last_use = 0;
  };

  explicit CudaContext(const CudaBackendOptions& options) : options_(options) {}
  absl::Status Init();
  // Makes FinishDownloads wait for the work queued so far.
  absl::Status MarkDownloads();
  // Frees the stages; all copies from them must be done.
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
  uint64_t step_ = 0;  // The value in step_memory_.
  bool recording_ = false, recorded_downloads_ = false;
  Stage stages_[2];
  int stage_ = 0;  // The stage to fill.
  CudaEvent downloaded_;
  bool staged_since_ = false;  // CopyFromHost was called after downloaded_ was recorded.
  std::vector<CachedTable> tables_;
  int64_t table_uses_ = 0, tables_replaced_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_CUDA_CONTEXT_H_
