#include "protopage/trainer/step/row_prefetcher.h"

#include <utility>

namespace protopage {

RowPrefetcher::RowPrefetcher(PrototypeStore* store, int64_t rows_per_step)
    : store_(store), max_begun_(store->stats().capacity_rows / rows_per_step - 1) {
  thread_ = std::thread([this] { Loop(); });
}

RowPrefetcher::~RowPrefetcher() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RowPrefetcher::Submit(int64_t step, std::vector<ClassId> classes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back({step, std::move(classes)});
  }
  changed_.notify_all();
}

absl::StatusOr<PinnedRows> RowPrefetcher::Finish(int64_t step) {
  std::vector<Begun> finished;  // Outlives the lock: a release takes the cache's.
  {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!waiting_.empty() && waiting_.front().step <= step) waiting_.pop_front();
    changed_.wait(lock, [&] { return !running_ || begun_.back().step > step; });
    while (!begun_.empty() && begun_.front().step <= step) {
      finished.push_back(std::move(begun_.front()));
      begun_.pop_front();
    }
  }
  changed_.notify_all();
  if (finished.empty() || finished.back().step != step) return PinnedRows();
  return std::move(finished.back().rows);
}

void RowPrefetcher::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] {
      const bool room = static_cast<int64_t>(begun_.size()) < max_begun_;
      return stopping_ || (room && !waiting_.empty());
    });
    if (stopping_) return;
    const Request request = std::move(waiting_.front());
    waiting_.pop_front();
    begun_.push_back({request.step});
    running_ = true;
    lock.unlock();
    absl::StatusOr<PinnedRows> rows = store_->Prefetch(request.classes);
    lock.lock();
    begun_.back().rows = std::move(rows);
    running_ = false;
    changed_.notify_all();
  }
}

}  // namespace protopage
