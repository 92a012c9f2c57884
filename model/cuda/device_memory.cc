#include "protopage/model/cuda/device_memory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/cuda/cuda_status.h"
#include "protopage/model/cuda/platform.h"

namespace protopage {
namespace {

// Rounds up to one of eight sizes between a power of two and the next.
int64_t BlockSize(int64_t bytes) {
  int64_t step = 512;
  while (bytes > 16 * step) step *= 2;
  return std::max<int64_t>(1, (bytes + step - 1) / step) * step;
}

}  // namespace

class DeviceMemory::Block : public Buffer {
 public:
  Block(void* data, int64_t bytes, int64_t size, std::shared_ptr<DeviceMemory> memory)
      : Buffer(data, bytes), size_(size), memory_(std::move(memory)) {}
  ~Block() override { memory_->ReleaseBlock(data(), size_); }

 private:
  const int64_t size_;
  const std::shared_ptr<DeviceMemory> memory_;
};

DeviceMemory::~DeviceMemory() { ReleaseCache(); }

absl::StatusOr<std::shared_ptr<Buffer>> DeviceMemory::Allocate(int64_t bytes) {
  PROTOPAGE_CHECK(bytes >= 0);
  const int64_t size = BlockSize(bytes);
  void* data = nullptr;
  std::vector<void*>& kept = cache_[size];
  if (!kept.empty()) {
    data = kept.back();
    kept.pop_back();
    bytes_cached_ -= size;
  } else {
    const cudaError_t error =
        AllocateFromDriver([&] { return cudaMalloc(&data, static_cast<size_t>(size)); });
    if (error == cudaErrorMemoryAllocation) {
      size_t free = 0, total = 0;
      PROTOPAGE_RETURN_IF_ERROR(CudaStatus(cudaMemGetInfo(&free, &total)));
      return absl::ResourceExhaustedError(absl::StrCat(
          "out of GPU memory: ", bytes, " bytes were requested, ", bytes_in_use_,
          " are in use here, ", bytes_cached_, " are cached for reuse, and the device has ", free,
          " of ", total, " free; lower the batch size or classes_per_step"));
    }
    PROTOPAGE_RETURN_IF_ERROR(CudaStatus(error));
  }
  bytes_in_use_ += size;
  return std::make_shared<Block>(data, bytes, size, shared_from_this());
}

cudaError_t DeviceMemory::AllocateFromDriver(absl::FunctionRef<cudaError_t()> call) {
  cudaError_t error = call();
  if (error == cudaErrorMemoryAllocation && bytes_cached_ > 0) {
    cudaGetLastError();
    ReleaseCache();
    error = call();
  }
  if (error == cudaErrorMemoryAllocation) cudaGetLastError();
  return error;
}

void DeviceMemory::ReleaseBlock(void* data, int64_t size) {
  bytes_in_use_ -= size;
  bytes_cached_ += size;
  ++blocks_released_;
  cache_[size].push_back(data);
}

void DeviceMemory::ReleaseCache() {
  for (auto& [size, blocks] : cache_) {
    // cudaFree waits for the work that uses the block. It returns errors of that work only, which
    // the next call that waits returns as well.
    for (void* block : blocks) cudaFree(block);
    blocks.clear();
  }
  bytes_cached_ = 0;
}

}  // namespace protopage
