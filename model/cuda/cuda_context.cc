#include "protopage/model/cuda/cuda_context.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/model/cuda/cuda_status.h"
#include "protopage/model/cuda/elementwise_kernels.h"

namespace protopage {
namespace {

constexpr int64_t kStageBytes = int64_t{4} << 20;
// More than the lists of tensors of a training step.
constexpr size_t kMaxTables = 32;

class PinnedBuffer : public Buffer {
 public:
  using Buffer::Buffer;
  ~PinnedBuffer() override { cudaFreeHost(data()); }
};

absl::Status CublasStatus(cublasStatus_t status) {
  const int code = static_cast<int>(status);
  const char* name = "an error";
  switch (code) {
    case 0:
      return absl::OkStatus();
    case 1:
      name = "CUBLAS_STATUS_NOT_INITIALIZED";
      break;
    case 3:
      name = "CUBLAS_STATUS_ALLOC_FAILED";
      break;
    case 7:
      name = "CUBLAS_STATUS_INVALID_VALUE";
      break;
    case 8:
      name = "CUBLAS_STATUS_ARCH_MISMATCH";
      break;
    case 11:
      name = "CUBLAS_STATUS_MAPPING_ERROR";
      break;
    case 13:
      name = "CUBLAS_STATUS_EXECUTION_FAILED";
      break;
    case 14:
      name = "CUBLAS_STATUS_INTERNAL_ERROR";
      break;
    case 15:
      name = "CUBLAS_STATUS_NOT_SUPPORTED";
      break;
  }
  return absl::InternalError(absl::StrCat("cuBLAS: ", name, " (", code, ")"));
}

// "13.0", from the int in which CUDA encodes a version.
std::string VersionName(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status NoGpu(cudaError_t error) {
  std::string more;
  if (error == cudaErrorInsufficientDriver) {
    // CUDA also returns this error if there is no driver at all; the version is 0 then.
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    more = driver == 0
               ? ": there is no driver on this machine"
               : absl::StrCat(": the driver is for CUDA ", VersionName(driver),
                              ", this program needs one for CUDA ", runtime / 1000, ".0 or newer");
  }
  return absl::FailedPreconditionError(absl::StrCat("no usable GPU: ", cudaGetErrorName(error),
                                                    ": ", cudaGetErrorString(error), more));
}

cudaDataType DataType(NumberFormat format) {
  switch (format) {
    case NumberFormat::kBf16:
      return CUDA_R_16BF;
    case NumberFormat::kFp16:
      return CUDA_R_16F;
    case NumberFormat::kFloat32:
      break;
  }
  return CUDA_R_32F;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Buffer>> AllocatePinned(int64_t bytes) {
  void* data = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&data, static_cast<size_t>(std::max<int64_t>(1, bytes)), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // Clears the error.
    return absl::ResourceExhaustedError(
        absl::StrCat("out of pinned host memory: ", bytes, " bytes were requested"));
  }
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(error));
  return std::make_shared<PinnedBuffer>(data, bytes);
}

absl::StatusOr<CudaEvent> NewEvent() {
  cudaEvent_t event = nullptr;
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventCreateWithFlags(&event, cudaEventDisableTiming)));
  return CudaEvent(event);
}

absl::StatusOr<std::unique_ptr<CudaContext>> CudaContext::Create(
    const CudaBackendOptions& options) {
  std::unique_ptr<CudaContext> context(new CudaContext(options));
  PROTOPAGE_RETURN_IF_ERROR(context->Init());
  return context;
}

absl::Status CudaContext::Init() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return NoGpu(error);
  if (options_.device < 0 || options_.device >= count) {
    if (count == 0) return NoGpu(cudaErrorNoDevice);
    return absl::InvalidArgumentError(
        absl::StrCat("GPU ", options_.device, " is outside [0, ", count, ")"));
  }
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(options_.device)));
  cudaDeviceProp properties;
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceProperties(&properties, options_.device)));
  // The machine code is for 8.0, which runs on 8.x, and for 9.0, which runs on 9.x
  // (tools/cuda.bzl).
  if (properties.major != 8 && properties.major != 9) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no usable GPU: ", properties.name, " has compute capability ", properties.major, ".",
        properties.minor, ", this program has code for 8 and 9"));
  }
  gpu_name_ = absl::StrCat(properties.name, ", sm_", properties.major, properties.minor);

  const auto make_stream = [](CudaStream* stream) {
    cudaStream_t made = nullptr;
    const cudaError_t made_error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
    stream->reset(made);
    return CudaStatus(made_error);
  };
  PROTOPAGE_RETURN_IF_ERROR(make_stream(&stream_));
  PROTOPAGE_RETURN_IF_ERROR(make_stream(&copy_stream_));
  PROTOPAGE_ASSIGN_OR_RETURN(downloaded_, NewEvent());

  PROTOPAGE_ASSIGN_OR_RETURN(cublas_, LoadCublas());
  PROTOPAGE_RETURN_IF_ERROR(CublasStatus(cublas_->create(&cublas_handle_)));
  PROTOPAGE_RETURN_IF_ERROR(CublasStatus(cublas_->set_stream(cublas_handle_, stream_.get())));
  // The size that NVIDIA recommends. With a workspace of its own, a stream yields the same bits for
  // the same products.
  const int64_t cublas_bytes = int64_t{properties.major >= 9 ? 32 : 4} << 20;
  PROTOPAGE_ASSIGN_OR_RETURN(cublas_workspace_, memory_->Allocate(cublas_bytes));
  PROTOPAGE_RETURN_IF_ERROR(CublasStatus(cublas_->set_workspace(
      cublas_handle_, cublas_workspace_->data(), static_cast<size_t>(cublas_bytes))));
  PROTOPAGE_ASSIGN_OR_RETURN(step_memory_, memory_->Allocate(sizeof(step_)));
  return CopyFromHost(&step_, step_memory_->data(), sizeof(step_));
}

CudaContext::~CudaContext() {
  // Tensors may outlive the context, but queued work must not outlive the memory that it uses.
  for (cudaStream_t stream : {stream_.get(), copy_stream_.get()}) {
    if (stream != nullptr) cudaStreamSynchronize(stream);
  }
  if (cublas_handle_ != nullptr) cublas_->destroy(cublas_handle_);
}

NumberFormat CudaContext::format() const {
  switch (options_.precision) {
    case Precision::kBf16:
      return NumberFormat::kBf16;
    case Precision::kFp16:
      return NumberFormat::kFp16;
    case Precision::kFloat32:
    case Precision::kTf32:
      break;
  }
  return NumberFormat::kFloat32;
}

absl::StatusOr<void*> CudaContext::Reserve(Slot slot, int64_t bytes) {
  std::shared_ptr<Buffer>& buffer = scratch_[slot];
  if (buffer == nullptr || buffer->bytes() < bytes) {
    buffer.reset();  // Before the new block is allocated: both at once may not fit.
    PROTOPAGE_ASSIGN_OR_RETURN(buffer, memory_->Allocate(bytes));
  }
  return buffer->data();
}

absl::Status CudaContext::CopyFromHost(const void* src, void* dst, int64_t bytes) {
  if (recording_) {
    return absl::FailedPreconditionError("a copy from the host cannot be recorded");
  }
  for (int64_t done = 0; done < bytes;) {
    Stage& stage = stages_[stage_];
    if (stage.memory == nullptr) {
      PROTOPAGE_ASSIGN_OR_RETURN(stage.memory, AllocatePinned(kStageBytes));
      PROTOPAGE_ASSIGN_OR_RETURN(stage.copied, NewEvent());
    }
    if (stage.in_flight) {
      PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(stage.copied.get())));
      stage.in_flight = false;
      stage.used = 0;
    }
    const int64_t n = std::min(bytes - done, kStageBytes - stage.used);
    char* staged = static_cast<char*>(stage.memory->data()) + stage.used;
    std::memcpy(staged, static_cast<const char*>(src) + done, static_cast<size_t>(n));
    PROTOPAGE_RETURN_IF_ERROR(
        CudaStatus(cudaMemcpyAsync(static_cast<char*>(dst) + done, staged, static_cast<size_t>(n),
                                   cudaMemcpyHostToDevice, stream())));
    stage.used += n;
    done += n;
    staged_since_ = true;
    if (stage.used == kStageBytes) {
      PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(stage.copied.get(), stream())));
      stage.in_flight = true;
      stage_ = 1 - stage_;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const char*> CudaContext::Table(const std::vector<char>& bytes) {
  ++table_uses_;
  for (CachedTable& table : tables_) {
    if (table.bytes != bytes) continue;
    table.last_use = table_uses_;
    return static_cast<const char*>(table.device->data());
  }
  if (tables_.size() < kMaxTables) tables_.emplace_back();
  // A new table was last used at time 0.
  CachedTable& oldest = *std::min_element(
      tables_.begin(), tables_.end(),
      [](const CachedTable& a, const CachedTable& b) { return a.last_use < b.last_use; });
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (oldest.device != nullptr) ++tables_replaced_;
  oldest.bytes.clear();  // After an error below, the device holds other bytes.
  if (oldest.device == nullptr || oldest.device->bytes() < size) {
    oldest.device.reset();
    PROTOPAGE_ASSIGN_OR_RETURN(oldest.device, memory_->Allocate(size));
  }
  PROTOPAGE_RETURN_IF_ERROR(CopyFromHost(bytes.data(), oldest.device->data(), size));
  oldest.bytes = bytes;
  oldest.last_use = table_uses_;
  return static_cast<const char*>(oldest.device->data());
}

absl::Status CudaContext::SetStep(uint64_t step) {
  if (step == step_) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(CopyFromHost(&step, step_memory_->data(), sizeof(step)));
  step_ = step;
  return absl::OkStatus();
}

absl::StatusOr<CudaContext::Recorded> CudaContext::Record(
    absl::FunctionRef<absl::Status()> operations) {
  PROTOPAGE_RETURN_IF_ERROR(
      CudaStatus(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal)));
  recording_ = true;
  recorded_downloads_ = false;
  absl::Status status = operations();
  recording_ = false;
  // Also after an error, or the stream would keep recording.
  cudaGraph_t recorded = nullptr;
  const cudaError_t error = cudaStreamEndCapture(stream(), &recorded);
  const CudaGraph graph(recorded);
  status.Update(CudaStatus(error));
  if (!status.ok()) {
    cudaGetLastError();  // Clears the error; the stream is as before.
    return status;
  }
  cudaGraphExec_t made = nullptr;
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(
      memory_->AllocateFromDriver([&] { return cudaGraphInstantiate(&made, graph.get(), 0); })));
  return Recorded{CudaGraphExec(made), recorded_downloads_};
}

absl::Status CudaContext::Launch(const Recorded& recorded) {
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaGraphLaunch(recorded.graph.get(), stream())));
  return recorded.downloads ? MarkDownloads() : absl::OkStatus();
}

absl::Status CudaContext::Download(const void* src, void* dst, int64_t bytes) {
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(
      cudaMemcpyAsync(dst, src, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream())));
  recorded_downloads_ |= recording_;
  return recording_ ? absl::OkStatus() : MarkDownloads();
}

absl::Status CudaContext::MarkDownloads() {
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(downloaded_.get(), stream())));
  staged_since_ = false;
  return absl::OkStatus();
}

absl::Status CudaContext::FinishDownloads() {
  if (recording_) return absl::FailedPreconditionError("waiting cannot be recorded");
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(downloaded_.get())));
  if (!staged_since_) EmptyStages();
  return absl::OkStatus();
}

absl::Status CudaContext::Wait() {
  if (recording_) return absl::FailedPreconditionError("waiting cannot be recorded");
  PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream())));
  EmptyStages();
  return absl::OkStatus();
}

void CudaContext::EmptyStages() {
  for (Stage& stage : stages_) {
    stage.in_flight = false;
    stage.used = 0;
  }
}

absl::StatusOr<const void*> CudaContext::Rounded(Slot slot, const float* x, int64_t n) {
  if (format() == NumberFormat::kFloat32) return x;
  PROTOPAGE_ASSIGN_OR_RETURN(char* rounded, Scratch<char>(slot, n * BytesOf(format())));
  PROTOPAGE_RETURN_IF_ERROR(
      CudaStatus(LaunchConvert(stream(), NumberFormat::kFloat32, x, n, format(), rounded)));
  return rounded;
}

// cuBLAS is column-major, so that our matrices are their transposes: c^T = op(b)^T op(a)^T.
absl::Status CudaContext::Multiply(const Product& p) {
  if (p.rows == 0 || p.cols == 0) return absl::OkStatus();
  constexpr int64_t kMaxSize = std::numeric_limits<int>::max();
  PROTOPAGE_CHECK(p.depth > 0 && std::max({p.rows, p.cols, p.depth, p.count}) <= kMaxSize);
  const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cudaDataType type = DataType(format());
  const int rows = static_cast<int>(p.rows), cols = static_cast<int>(p.cols);
  const int depth = static_cast<int>(p.depth);
  const int a_cols = p.transpose_a ? rows : depth, b_cols = p.transpose_b ? depth : cols;
  const cublasComputeType_t compute =
      options_.precision == Precision::kTf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  if (p.count == 1) {
    return CublasStatus(cublas_->gemm_ex(cublas_handle_, op(p.transpose_b), op(p.transpose_a), cols,
                                         rows, depth, &p.alpha, p.b, type, b_cols, p.a, type,
                                         a_cols, &p.beta, p.c, CUDA_R_32F, cols, compute,
                                         CUBLAS_GEMM_DEFAULT));
  }
  return CublasStatus(cublas_->gemm_strided_batched_ex(
      cublas_handle_, op(p.transpose_b), op(p.transpose_a), cols, rows, depth, &p.alpha, p.b, type,
      b_cols, p.b_step, p.a, type, a_cols, p.a_step, &p.beta, p.c, CUDA_R_32F, cols, p.c_step,
      static_cast<int>(p.count), compute, CUBLAS_GEMM_DEFAULT));
}

}  // namespace protopage
