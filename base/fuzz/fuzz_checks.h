// What holds for every input that a fuzzer gives: CheckError(status) ends the process if an error
// is no message for people.
//
//   const absl::StatusOr<nlohmann::json> json = ParseJson(text, "config.json");
//   CheckError(json.status());
#ifndef PROTOPAGE_BASE_FUZZ_FUZZ_CHECKS_H_
#define PROTOPAGE_BASE_FUZZ_FUZZ_CHECKS_H_

#include <cstddef>

#include "absl/status/status.h"

namespace protopage {

// The longest error message: a sentence, a few shortened texts of the user, a list of choices.
inline constexpr size_t kMostErrorBytes = 2000;

// Ends the process if `status` is an error whose message is empty, has more than one line, or is
// longer than kMostErrorBytes, and if it is an internal one: no input is a bug of the program.
void CheckError(const absl::Status& status);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_FUZZ_FUZZ_CHECKS_H_
