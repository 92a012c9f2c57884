#include "protopage/base/thread.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace protopage {

absl::Status StartThread(std::function<void()> body, std::thread* thread) {
  try {
    *thread = std::thread(std::move(body));
    return absl::OkStatus();
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start a thread: ", error.code().message(),
                     "; the limit on processes (ulimit -u, or that of a container) or on memory "
                     "(ulimit -v) is reached"));
  }
}

}  // namespace protopage
