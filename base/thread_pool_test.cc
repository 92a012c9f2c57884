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

TEST(ThreadPoolTest, TheExampleOfTheHeader) {
  const int64_t num_blocks = 10;
  std::vector<int64_t> sums(num_blocks, 0);
  const auto Sum = [&](int64_t block) { sums[block] = block * block; };
  ThreadPool pool(2);
  pool.ParallelFor(num_blocks, [&](int64_t block) { Sum(block); });
  for (int64_t block = 0; block < num_blocks; ++block) EXPECT_EQ(sums[block], block * block);
}

TEST(ThreadPoolTest, NestedCallsRunInPlace) {
  ThreadPool pool(3);
  std::atomic<int> begun{0}, total{0};
  pool.ParallelForThread(3, [&](int64_t, int thread) {
    ++begun;
    while (begun < 3) std::this_thread::yield();  // So that each thread has a task.
    const std::thread::id id = std::this_thread::get_id();
    pool.ParallelForThread(8, [&](int64_t, int nested_thread) {
      EXPECT_EQ(std::this_thread::get_id(), id);
      EXPECT_EQ(nested_thread, thread);
      ++total;
    });
  });
  EXPECT_EQ(total, 24);
}

TEST(ThreadPoolTest, AllThreadsWorkOnOneCall) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> begun{0};
    std::vector<std::atomic<int>> count(3);
    // Ends only if each of three threads has one of the tasks.
    pool.ParallelForThread(3, [&](int64_t, int thread) {
      ++count[thread];
      ++begun;
      while (begun < 3) std::this_thread::yield();
    });
    for (int thread = 0; thread < 3; ++thread) EXPECT_EQ(count[thread], 1) << thread;
  }
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

// A long call, such as a search by the planner, does not delay short ones, such as operators of the
// trainer.
TEST(ThreadPoolTest, ACallEndsWhileAnotherOneIsInProgress) {
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
