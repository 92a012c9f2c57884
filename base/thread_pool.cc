#include "protopage/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "protopage/base/thread.h"

namespace protopage {
namespace {

// The pool whose body this thread is running, or null, and the thread's number in that call.
thread_local const ThreadPool* current_pool = nullptr;
thread_local int current_thread = 0;

// Marks this thread as running a body of `pool` for its lifetime.
class InBody {
 public:
  InBody(const ThreadPool* pool, int thread)
      : pool_(std::exchange(current_pool, pool)), thread_(std::exchange(current_thread, thread)) {}
  ~InBody() {
    current_pool = pool_;
    current_thread = thread_;
  }

 private:
  const ThreadPool* const pool_;
  const int thread_;
};

}  // namespace

struct ThreadPool::Call {
  Call(absl::FunctionRef<void(int64_t, int)> the_body, int64_t n) : body(the_body), num_tasks(n) {}

  const absl::FunctionRef<void(int64_t, int)> body;
  const int64_t num_tasks;
  // Guarded by the pool's mutex_.
  int64_t next_task = 0;  // Tasks [0, next_task) are claimed.
  int running = 0;        // Claimed tasks that have not ended.
  CondVar finished;       // `running` is 0.
};

int NumProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads <= 0) num_threads = NumProcessors();
  workers_.reserve(num_threads - 1);
  for (int i = 1; i < num_threads && status_.ok(); ++i) {
    std::thread worker;
    status_ = StartThread([this, i] { WorkerLoop(i); }, &worker);
    if (status_.ok()) workers_.push_back(std::move(worker));
  }
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> body) {
  ParallelForThread(n, [&body](int64_t task, int) { body(task); });
}

void ThreadPool::ParallelForThread(int64_t n, absl::FunctionRef<void(int64_t, int)> body) {
  if (current_pool != nullptr || workers_.empty() || n <= 1) {
    // The thread's number in another pool may be out of range in this one.
    const int thread = current_pool == this ? current_thread : 0;
    const InBody in_body(this, thread);
    for (int64_t i = 0; i < n; ++i) body(i, thread);
    return;
  }
  Call call(body, n);
  const MutexLock lock(mutex_);
  calls_.push_back(&call);
  work_.NotifyAll();
  {
    const InBody in_body(this, 0);
    while (call.next_task < n) RunTask(call, /*thread=*/0);
  }
  while (call.running > 0) call.finished.Wait(mutex_);
  calls_.erase(std::find(calls_.begin(), calls_.end(), &call));
}

void ThreadPool::RunTask(Call& call, int thread) {
  const int64_t task = call.next_task++;
  ++call.running;
  mutex_.Unlock();
  call.body(task, thread);
  mutex_.Lock();
  // The mutex must be held here: the caller of a call without running tasks may destroy it as soon
  // as it acquires the mutex.
  if (--call.running == 0) call.finished.NotifyOne();
}

ThreadPool::Call* ThreadPool::NextCall() {
  for (size_t i = 0; i < calls_.size(); ++i) {
    Call* const call = calls_[turn_++ % calls_.size()];
    if (call->next_task < call->num_tasks) return call;
  }
  return nullptr;
}

void ThreadPool::WorkerLoop(int thread) {
  const InBody in_body(this, thread);
  const MutexLock lock(mutex_);
  while (true) {
    if (Call* const call = NextCall(); call != nullptr) {
      RunTask(*call, thread);
    } else if (stopping_) {
      return;
    } else {
      work_.Wait(mutex_);
    }
  }
}

}  // namespace protopage
