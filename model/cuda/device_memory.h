// DeviceMemory: blocks of a GPU's memory. What is given back is kept for the next who asks for as
// much, since asking the driver stops the device: in its steady state a training step does neither.
//
//   auto memory = std::make_shared<DeviceMemory>();
//   PROTOPAGE_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> block, memory->Allocate(int64_t{64} << 20));
//
// A block may be handed out again while work that uses it is still queued: all its users must
// queue their work on one stream, or make that stream wait for theirs before they give it back.
// Not thread-safe.
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

  // At least `bytes`, at a multiple of 256, unspecified content. The buffer holds on to this
  // object. Errors: ResourceExhausted, after all that is kept was given back to the driver and it
  // still had too little.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(int64_t bytes);

  // Calls `call`, which takes memory of the driver's, and once more if that was too little, after
  // all that is kept was given back, for which the driver waits for all work.
  // cudaErrorMemoryAllocation is returned and forgotten by cudaGetLastError().
  cudaError_t Take(absl::FunctionRef<cudaError_t()> call);

  // Of the blocks handed out: their sizes, which are those asked for, rounded up by an eighth at
  // most (or to 512 bytes).
  int64_t bytes_in_use() const { return bytes_in_use_; }
  // Of the blocks kept.
  int64_t bytes_cached() const { return bytes_cached_; }
  // Times that a block was given back.
  int64_t given_back() const { return given_back_; }

 private:
  class Block;

  void GiveBack(void* data, int64_t size);
  void ReleaseCache();

  std::map<int64_t, std::vector<void*>> cache_;  // By size.
  int64_t bytes_in_use_ = 0, bytes_cached_ = 0, given_back_ = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_DEVICE_MEMORY_H_
