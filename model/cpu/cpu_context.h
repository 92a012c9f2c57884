// CpuContext: the resources that the operations of the CPU backend share: threads, the kernels of
// one instruction set, and scratch memory that grows to the largest need and is then reused, so
// that a training step in its steady state allocates nothing.
#ifndef PROTOPAGE_MODEL_CPU_CPU_CONTEXT_H_
#define PROTOPAGE_MODEL_CPU_CPU_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "absl/functional/function_ref.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/thread_pool.h"
#include "protopage/model/cpu/matrix_kernels.h"
#include "protopage/model/cpu/vector_kernels.h"
#include "protopage/model/cpu/winograd_kernels.h"

namespace protopage {

// Memory aligned to a cache line.
class AlignedMemory {
 public:
  // At least `bytes`; growing loses the content.
  void* Reserve(int64_t bytes);
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(void* p) const { operator delete(p, kAlignment); }
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

class CpuContext {
 public:
  CpuContext(ThreadPool* pool, const MatrixKernels& matrix, const VectorKernels& vector,
             const WinogradKernels& winograd);

  ThreadPool& pool() const { return *pool_; }
  const MatrixKernels& matrix() const { return matrix_; }
  const VectorKernels& vector() const { return vector_; }
  const WinogradKernels& winograd() const { return winograd_; }

  // Scratch arrays of one operation, distinguished by `slot`; their contents are unspecified.
  enum SharedSlot {
    kPacked,
    kPackedBackward,
    kPartials,
    kOffsetsA,
    kOffsetsC,
    kImages,
    kKernel,
    kSums,
    kNumSharedSlots
  };
  enum ThreadSlot {
    kThreadImages,
    kThreadGradient,
    kThreadPanels,
    kThreadSums,
    kThreadZeros,
    kThreadTiles,
    kThreadProducts,
    kNumThreadSlots
  };
  template <typename T = float>
  T* Shared(SharedSlot slot, int64_t count) {
    return static_cast<T*>(shared_[slot].Reserve(count * static_cast<int64_t>(sizeof(T))));
  }
  // A scratch array of the running thread: called inside a task, with the thread's number.
  template <typename T = float>
  T* ForThread(int thread, ThreadSlot slot, int64_t count) {
    return static_cast<T*>(
        threads_[thread].memory[slot].Reserve(count * static_cast<int64_t>(sizeof(T))));
  }

  // The size of all scratch arrays. Must not be called while an operation runs.
  int64_t bytes() const;

  // Calls body(first, count) for fixed chunks of [0, n), in parallel if there are several.
  void ForChunks(int64_t n, int64_t chunk,
                 absl::FunctionRef<void(int64_t first, int64_t count)> body) const;

 private:
  struct PerThread {
    AlignedMemory memory[kNumThreadSlots];
  };

  ThreadPool* const pool_;
  const MatrixKernels& matrix_;
  const VectorKernels& vector_;
  const WinogradKernels& winograd_;
  AlignedMemory shared_[kNumSharedSlots];
  std::vector<PerThread> threads_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_CPU_CONTEXT_H_
