// ThreadPool: the compute threads of a process or of a part of it. The caller divides work into
// tasks, independently of the number of threads, so that results do not depend on that number:
//
//   ThreadPool pool(2);
//   pool.ParallelFor(num_blocks, [&](int64_t block) { Sum(block); });
#ifndef PROTOPAGE_BASE_THREAD_POOL_H_
#define PROTOPAGE_BASE_THREAD_POOL_H_

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "protopage/base/mutex.h"

namespace protopage {

// Thread-safe. Calls from several threads run concurrently: each caller runs tasks of its own call,
// and the workers take tasks of all calls in turn, so no call waits for another one to end.
class ThreadPool {
 public:
  // `num_threads` <= 0 means one for each processor this process may use. The calling thread is one
  // of them, so ThreadPool(1) starts none. When the system has fewer threads, the pool has those:
  // see status().
  explicit ThreadPool(int num_threads);
  // Must not run concurrently with a call.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Whether all threads could be started. Errors: ResourceExhausted.
  const absl::Status& status() const { return status_; }
  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(i) once for each i in [0, n) and returns when all are done. The tasks of a call are
  // claimed in ascending order. A call from a body, of this pool or of another one, runs its tasks
  // on the calling thread, one after the other.
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> body);

  // As above, with the number of the running thread, in [0, num_threads()), which selects scratch
  // memory: no two tasks of one call have the same number at the same time. Concurrent calls use
  // the same numbers, so they must not share scratch memory; calls from bodies of one call of this
  // pool may, as they have the number of their body. The result of a task must not depend on the
  // number.
  void ParallelForThread(int64_t n, absl::FunctionRef<void(int64_t task, int thread)> body);

 private:
  // A call in progress, on the stack of its caller.
  struct Call;

  void WorkerLoop(int thread);
  // Runs the next task of `call`, which must have one, with the mutex released.
  void RunTask(Call& call, int thread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next call in turn with unclaimed tasks, or null.
  Call* NextCall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  CondVar work_;  // A call was added, or the pool is stopping.
  std::vector<Call*> calls_ ABSL_GUARDED_BY(mutex_);
  size_t turn_ ABSL_GUARDED_BY(mutex_) = 0;  // Modulo the number of calls: where to look next.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> workers_;
  absl::Status status_;
};

// The number of processors that this process may run on.
int NumProcessors();

}  // namespace protopage

#endif  // PROTOPAGE_BASE_THREAD_POOL_H_
