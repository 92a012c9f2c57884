#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace protopage {
namespace {

TEST(ThreadPoolTest, EveryTaskRunsOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.num_threads(), threads);
    for (const int64_t n : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> count(n);
      pool.ParallelForThread(n, [&](int64_t i, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        ++count[i];
      });
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(count[i], 1) << i;
    }
  }
}

TEST(ThreadPoolTest, NestedCallsRunInPlace) {
  ThreadPool pool(3);
  std::atomic<int> total{0};
  pool.ParallelFor(8, [&](int64_t) { pool.ParallelFor(8, [&](int64_t) { ++total; }); });
  EXPECT_EQ(total, 64);
}

TEST(ThreadPoolTest, CallsFromSeveralThreadsDoNotMix) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<int> total{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        pool.ParallelFor(20, [&](int64_t) { ++total; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 4 * 50 * 20);
}

TEST(ThreadPoolTest, DefaultUsesAllProcessors) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.num_threads(), NumProcessors());
}

}  // namespace
}  // namespace protopage
