// DeviceMemory: allocates blocks of GPU memory. A released block is cached for the next request of
// its size, because calls of the driver make the device wait: a training step in its steady state
// makes none.
//
//   auto memory = std::make_shared<DeviceMemory>();
//   PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> block, memory->Allocate(int64_t{64} << 20));
//
// A released block may be reused while work on it is still queued. So all users must queue their
// work on one stream, or make that stream wait for their work before they release the block. Not
// thread-safe.
#ifndef PROTOPAGE_MODEL_CUDA_DEVICE_MEMORY_H_
#define PROTOPAGE_MODEL_CUDA_DEVICE_MEMORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/tensor.h"

namespace protopage {

class DeviceMemory : public std::enable_shared_from_this<DeviceMemory> {
 public:
  DeviceMemory() = default;
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Returns at least `bytes` bytes with unspecified contents, aligned to 256. The buffer keeps this
  // object alive. Errors: ResourceExhausted, if the driver has too little memory even after all
  // cached blocks were returned to it.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(int64_t bytes);

  // Runs `call`, which allocates memory from the driver. If there is too little, returns all cached
  // blocks to the driver, which waits for all work, and runs `call` once more. If there still is
  // too little, returns cudaErrorMemoryAllocation, which is cleared from cudaGetLastError().
  cudaError_t AllocateFromDriver(absl::FunctionRef<cudaError_t()> call);

  // The total size of the blocks in use. A size is the one requested, rounded up by at most an
  // eighth or to 512 bytes.
  int64_t bytes_in_use() const { return bytes_in_use_; }
  // The total size of the cached blocks.
  int64_t bytes_cached() const { return bytes_cached_; }
  // How many times a block was released.
  int64_t blocks_released() const { return blocks_released_; }

 private:
  class Block;

  void ReleaseBlock(void* data, int64_t size);
  void ReleaseCache();

  std::map<int64_t, std::vector<void*>> cache_;  // By size.
  int64_t bytes_in_use_ = 0, bytes_cached_ = 0, blocks_released_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_DEVICE_MEMORY_H_
