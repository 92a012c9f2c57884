#include "protopage/base/mutex.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace protopage {
namespace {

// The example of the header.
class Counter {
 public:
  void Add(int64_t n) {
    const MutexLock lock(mutex_);
    sum_ += n;
    grown_.NotifyAll();
  }
  void AwaitAtLeast(int64_t n) {
    const MutexLock lock(mutex_);
    while (sum_ < n) grown_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar grown_;
  int64_t sum_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(MutexTest, TheExampleOfTheHeader) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int n = 0; n < 1000; ++n) counter.Add(1);
    });
  }
  counter.AwaitAtLeast(4000);  // Returns only if no addition was lost.
  for (std::thread& thread : threads) thread.join();
}

TEST(MutexTest, ALockCanBeReleasedInBetween) {
  Mutex mutex;
  MutexLock lock(mutex);
  lock.Unlock();
  std::thread([&mutex] { const MutexLock other(mutex); }).join();
  lock.Lock();
}

TEST(SharedMutexTest, ReadersShareAndAWriterIsAlone) {
  SharedMutex mutex;
  int64_t value = 0;
  {
    const ReaderMutexLock lock(mutex);
    std::thread([&mutex] { const ReaderMutexLock other(mutex); }).join();
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        const WriterMutexLock lock(mutex);
        ++value;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const ReaderMutexLock lock(mutex);
  EXPECT_EQ(value, 4000);
}

}  // namespace
}  // namespace protopage
