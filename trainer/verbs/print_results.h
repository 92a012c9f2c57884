// PrintResults: results on stdout, for people or as JSON.
//
//   PROTOPAGE_RETURN_IF_ERROR(PrintResults(FormatReport(report)));
#ifndef PROTOPAGE_TRAINER_VERBS_PRINT_RESULTS_H_
#define PROTOPAGE_TRAINER_VERBS_PRINT_RESULTS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace protopage {

// Writes all of `text`. Errors: Unavailable (a full device, a pipe that nobody reads).
absl::Status PrintResults(absl::string_view text);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_VERBS_PRINT_RESULTS_H_
