// ThreadPool: the one owner of compute threads. Work is cut into tasks by the
// caller, never by the number of threads, so that results do not depend on it:
//
//   ThreadPool pool(2);
//   pool.ParallelFor(num_blocks, [&](int64_t block) { Sum(block); });
#ifndef PROTOPAGE_BASE_THREAD_POOL_H_
#define PROTOPAGE_BASE_THREAD_POOL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace protopage {

class ThreadPool {
 public:
  // `num_threads` <= 0 means one for each processor this process may use. The
  // calling thread is one of them, so ThreadPool(1) starts none.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(i) once for each i in [0, n) and returns when all are done.
  // Tasks are claimed in ascending order. Calls from several threads run one
  // after the other; a call from inside a body of any pool runs its tasks in
  // place.
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> body);

  // As above with the number of the running thread, in [0, num_threads()), for
  // scratch memory. What a task computes must not depend on it.
  void ParallelForThread(int64_t n, absl::FunctionRef<void(int64_t task, int thread)> body);

 private:
  void WorkerLoop(int thread);
  void RunTasks(int thread);

  std::mutex call_mutex_;  // Held for the length of a parallel call.
  std::mutex mutex_;       // Guards what follows.
  std::condition_variable start_;
  std::condition_variable finished_;
  const absl::FunctionRef<void(int64_t, int)>* body_ = nullptr;
  int64_t generation_ = 0;
  int64_t num_tasks_ = 0;
  int64_t next_task_ = 0;
  int busy_workers_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

// The processors this process may run on.
int NumProcessors();

}  // namespace protopage

#endif  // PROTOPAGE_BASE_THREAD_POOL_H_
