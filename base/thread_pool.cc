#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace protopage {
namespace {

// The number of the running thread while it runs a body, else -1: nested calls
// run in place.
thread_local int current_thread = -1;

}  // namespace

int NumProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads <= 0) num_threads = NumProcessors();
  workers_.reserve(num_threads - 1);
  for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this, i] { WorkerLoop(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> body) {
  ParallelForThread(n, [&body](int64_t task, int) { body(task); });
}

void ThreadPool::ParallelForThread(int64_t n, absl::FunctionRef<void(int64_t, int)> body) {
  if (current_thread >= 0) {
    for (int64_t i = 0; i < n; ++i) body(i, current_thread);
    return;
  }
  if (workers_.empty() || n <= 1) {
    current_thread = 0;
    for (int64_t i = 0; i < n; ++i) body(i, 0);
    current_thread = -1;
    return;
  }
  const std::lock_guard<std::mutex> call_lock(call_mutex_);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    body_ = &body;
    num_tasks_ = n;
    next_task_ = 0;
    busy_workers_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  RunTasks(/*thread=*/0);
  std::unique_lock<std::mutex> lock(mutex_);
  finished_.wait(lock, [this] { return busy_workers_ == 0; });
  body_ = nullptr;
}

void ThreadPool::RunTasks(int thread) {
  current_thread = thread;
  std::unique_lock<std::mutex> lock(mutex_);
  while (next_task_ < num_tasks_) {
    const int64_t task = next_task_++;
    lock.unlock();
    (*body_)(task, thread);
    lock.lock();
  }
  lock.unlock();
  current_thread = -1;
}

void ThreadPool::WorkerLoop(int thread) {
  int64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    lock.unlock();
    RunTasks(thread);
    lock.lock();
    if (--busy_workers_ == 0) finished_.notify_one();
  }
}

}  // namespace protopage
