#include "protopage/model/cpu/cpu_context.h"

#include <algorithm>

#include "protopage/base/check.h"

namespace protopage {

void* AlignedMemory::Reserve(int64_t bytes) {
  if (bytes > bytes_ || data_ == nullptr) {
    // A multiple of the alignment, and room for kernels that read whole vectors.
    const int64_t rounded = (bytes / 64 + 2) * 64;
    data_.reset();  // Released first: the old and the new block may not fit together.
    data_.reset(operator new(static_cast<size_t>(rounded), kAlignment));
    bytes_ = rounded;
  }
  return data_.get();
}

CpuContext::CpuContext(ThreadPool* pool, const MatrixKernels& matrix, const VectorKernels& vector,
                       const WinogradKernels& winograd)
    : pool_(pool),
      matrix_(matrix),
      vector_(vector),
      winograd_(winograd),
      threads_(pool->num_threads()) {}

int64_t CpuContext::bytes() const {
  int64_t bytes = 0;
  for (const AlignedMemory& memory : shared_) bytes += memory.bytes();
  for (const PerThread& thread : threads_) {
    for (const AlignedMemory& memory : thread.memory) bytes += memory.bytes();
  }
  return bytes;
}

void CpuContext::ForChunks(int64_t n, int64_t chunk,
                           absl::FunctionRef<void(int64_t, int64_t)> body) const {
  if (n <= 0) return;
  pool_->ParallelFor(DivideUp(n, chunk), [&](int64_t task) {
    const int64_t first = task * chunk;
    body(first, std::min(chunk, n - first));
  });
}

}  // namespace protopage
