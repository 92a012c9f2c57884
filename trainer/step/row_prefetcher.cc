#include "protopage/trainer/step/row_prefetcher.h"

#include <utility>

#include "protopage/base/status_macros.h"
#include "protopage/base/thread.h"

namespace protopage {

RowPrefetcher::RowPrefetcher(PrototypeStore* store, int64_t rows_per_step)
    : store_(store), max_begun_(store->stats().capacity_rows / rows_per_step - 1) {
  started_ = StartThread([this] { Loop(); }, &thread_);
}

RowPrefetcher::~RowPrefetcher() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void RowPrefetcher::Submit(int64_t step, std::vector<ClassId> classes) {
  {
    const MutexLock lock(mutex_);
    waiting_.push_back({step, std::move(classes)});
  }
  changed_.NotifyAll();
}

absl::StatusOr<PinnedRows> RowPrefetcher::Finish(int64_t step) {
  PROTOPAGE_RETURN_IF_ERROR(started_);
  std::vector<Begun> finished;  // Outlives the lock: a release takes the cache's.
  {
    const MutexLock lock(mutex_);
    while (!waiting_.empty() && waiting_.front().step <= step) waiting_.pop_front();
    while (running_ && begun_.back().step <= step) changed_.Wait(mutex_);
    while (!begun_.empty() && begun_.front().step <= step) {
      finished.push_back(std::move(begun_.front()));
      begun_.pop_front();
    }
  }
  changed_.NotifyAll();
  if (finished.empty() || finished.back().step != step) return PinnedRows();
  return std::move(finished.back().rows);
}

bool RowPrefetcher::HasWork() const {
  return !waiting_.empty() && static_cast<int64_t>(begun_.size()) < max_begun_;
}

void RowPrefetcher::Loop() {
  while (true) {
    Request request;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && !HasWork()) changed_.Wait(mutex_);
      if (stopping_) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
      begun_.push_back({request.step});
      running_ = true;
    }
    absl::StatusOr<PinnedRows> rows = store_->Prefetch(request.classes);
    {
      const MutexLock lock(mutex_);
      begun_.back().rows = std::move(rows);
      running_ = false;
    }
    changed_.NotifyAll();
  }
}

}  // namespace protopage
