// Random numbers that nobody repeats: names of files, runs and attempts. They are no part of
// results, whose random numbers are those of random.h.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t nonce, RandomNonce());
#ifndef PROTOPAGE_BASE_NONCE_H_
#define PROTOPAGE_BASE_NONCE_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace protopage {

// A number from the operating system. Errors: Unavailable.
absl::StatusOr<uint64_t> RandomNonce();

}  // namespace protopage

#endif  // PROTOPAGE_BASE_NONCE_H_
