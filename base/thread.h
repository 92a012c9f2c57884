// StartThread: a thread, or the reason why the system has none left.
//
//   std::thread worker;
//   PROTOPAGE_RETURN_IF_ERROR(StartThread([this] { Work(); }, &worker));
//   ...
//   if (worker.joinable()) worker.join();
#ifndef PROTOPAGE_BASE_THREAD_H_
#define PROTOPAGE_BASE_THREAD_H_

#include <functional>
#include <thread>

#include "absl/status/status.h"

namespace protopage {

// Errors: ResourceExhausted (a limit on threads, or on memory for their stacks); *thread is not
// joinable then.
absl::Status StartThread(std::function<void()> body, std::thread* thread);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_THREAD_H_
