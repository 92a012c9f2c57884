#include "protopage/base/thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "protopage/base/mutex.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

class Worker {
 public:
  absl::Status Run() {
    std::thread worker;
    PROTOPAGE_RETURN_IF_ERROR(StartThread([this] { Work(); }, &worker));
    started_ = worker.joinable();
    if (worker.joinable()) worker.join();
    return absl::OkStatus();
  }
  bool started() const { return started_; }
  bool worked() const { return worked_; }

 private:
  void Work() { worked_ = true; }

  bool started_ = false, worked_ = false;
};

TEST(ThreadTest, TheExampleOfTheHeader) {
  Worker worker;
  PROTOPAGE_ASSERT_OK(worker.Run());
  EXPECT_TRUE(worker.started());
  EXPECT_TRUE(worker.worked());
}

// Without address space for stacks no thread can be made, whatever the user. Stacks of threads that
// ended are used again first.
TEST(ThreadTest, WithoutMemoryForAStackTheErrorSaysSo) {
  rlimit saved;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &saved), 0);
  rlimit none = saved;
  none.rlim_cur = 0;
  std::vector<std::thread> threads(100);
  Mutex held;
  held.Lock();
  EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  absl::Status status;
  size_t started = 0;
  while (status.ok() && started < threads.size()) {
    status = StartThread([&held] { const MutexLock wait(held); }, &threads[started++]);
  }
  EXPECT_EQ(setrlimit(RLIMIT_AS, &saved), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("cannot start a thread"));
  EXPECT_FALSE(threads[started - 1].joinable());
  held.Unlock();
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace
}  // namespace protopage
