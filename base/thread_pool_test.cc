#include "protopage/base/thread_pool.h"

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

TEST(ThreadPoolTest, ACallFromABodyOfALargerPoolHasAThreadOfItsOwnPool) {
  ThreadPool large(5), small(2);
  std::atomic<int> total{0};
  large.ParallelForThread(40, [&](int64_t, int) {
    small.ParallelForThread(4, [&](int64_t, int thread) {
      EXPECT_LT(thread, small.num_threads());
      ++total;
    });
  });
  EXPECT_EQ(total, 160);
}

// Also where the calls have one task, or the pool one thread.
TEST(ThreadPoolTest, NoTwoTasksOfACallHaveTheSameThreadAtTheSameTime) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<std::thread> callers;
    for (int c = 0; c < 3; ++c) {
      callers.emplace_back([&] {
        for (const int64_t n : {1, 2, 50}) {
          std::vector<std::atomic<int>> inside(threads);
          pool.ParallelForThread(n, [&](int64_t, int thread) {
            EXPECT_EQ(++inside[thread], 1);
            std::this_thread::yield();
            --inside[thread];
          });
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
}

// A long call, as a search of the planner, does not hold up short ones, as operators of the
// trainer.
TEST(ThreadPoolTest, ACallEndsWhileAnotherOneIsUnderWay) {
  ThreadPool pool(2);
  std::atomic<bool> begun{false}, release{false};
  std::thread slow([&] {
    pool.ParallelFor(2, [&](int64_t) {
      begun = true;
      while (!release) std::this_thread::yield();
    });
  });
  while (!begun) std::this_thread::yield();
  std::atomic<int> total{0};
  pool.ParallelFor(8, [&](int64_t) { ++total; });
  EXPECT_EQ(total, 8);
  release = true;
  slow.join();
}

TEST(ThreadPoolTest, DefaultUsesAllProcessors) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.num_threads(), NumProcessors());
}

}  // namespace
}  // namespace protopage
