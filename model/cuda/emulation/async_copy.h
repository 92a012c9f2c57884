// Emulation of asynchronous copies from global to shared memory. A copy is done when the thread
// waits for its group, so that a thread that reads without waiting finds the old contents.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_ASYNC_COPY_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_ASYNC_COPY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "protopage/model/cuda/emulation/device.h"

namespace protopage {
namespace emulation {

struct alignas(16) SixteenBytes {
  uint32_t words[4];
};
struct AsyncCopy {
  const SixteenBytes* from;  // Null for zeros.
  SixteenBytes* to;
};
struct ThreadCopies {
  std::vector<AsyncCopy> group;  // Not yet committed.
  std::deque<std::vector<AsyncCopy>> groups;
};
// One for each thread of the block.
inline ThreadCopies all_copies[kMaxThreadsPerBlock];

// Performs the copies of all but the last `groups` groups of the thread. Blocks are (threads, 1,
// 1).
inline void FinishCopies(size_t groups) {
  ThreadCopies& copies = all_copies[threadIdx.x];
  while (copies.groups.size() > groups) {
    for (const AsyncCopy& copy : copies.groups.front()) {
      *copy.to = copy.from != nullptr ? *copy.from : SixteenBytes{};
    }
    copies.groups.pop_front();
  }
}

}  // namespace emulation

inline void CopyAsync16(uint32_t* shared, const void* global, bool inside) {
  using emulation::SixteenBytes;
  emulation::all_copies[threadIdx.x].group.push_back(
      {inside ? static_cast<const SixteenBytes*>(global) : nullptr,
       reinterpret_cast<SixteenBytes*>(shared)});
}
inline void CommitCopies() {
  emulation::ThreadCopies& copies = emulation::all_copies[threadIdx.x];
  copies.groups.push_back(std::move(copies.group));
  copies.group.clear();
}
template <int kGroups>
void WaitForCopies() {
  emulation::FinishCopies(kGroups);
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ASYNC_COPY_H_
