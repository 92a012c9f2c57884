#include "protopage/base/nonce.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace protopage {

absl::StatusOr<uint64_t> RandomNonce() {
  uint64_t nonce = 0;
  ssize_t bytes = 0;
  do {
    bytes = getrandom(&nonce, sizeof(nonce), 0);
  } while (bytes < 0 && errno == EINTR);
  if (bytes == sizeof(nonce)) return nonce;
  return absl::UnavailableError(
      absl::StrCat("the system gives no random numbers: ", std::strerror(errno)));
}

}  // namespace protopage
