// Macros for functions that return absl::Status or absl::StatusOr, to return the error of a call:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
//   PROTOPAGE_RETURN_IF_ERROR(file->Sync());
#ifndef PROTOPAGE_BASE_STATUS_MACROS_H_
#define PROTOPAGE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

// `status` with "context: " before its message; OK stays OK. The code and the payloads are kept.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

}  // namespace protopage

#define PROTOPAGE_STATUS_CONCAT_INNER(a, b) a##b
#define PROTOPAGE_STATUS_CONCAT(a, b) PROTOPAGE_STATUS_CONCAT_INNER(a, b)

#ifndef PROTOPAGE_RETURN_IF_ERROR
#define PROTOPAGE_RETURN_IF_ERROR(expr)                  \
  do {                                                   \
    absl::Status protopage_status = (expr);              \
    if (!protopage_status.ok()) return protopage_status; \
  } while (false)
#endif

#ifndef PROTOPAGE_ASSIGN_OR_RETURN
#define PROTOPAGE_ASSIGN_OR_RETURN(lhs, expr)                                                    \
  PROTOPAGE_ASSIGN_OR_RETURN_INNER(PROTOPAGE_STATUS_CONCAT(protopage_status_or_, __LINE__), lhs, \
                                   expr)
#endif

#define PROTOPAGE_ASSIGN_OR_RETURN_INNER(result, lhs, expr) \
  auto result = (expr);                                     \
  if (!result.ok()) return std::move(result).status();      \
  lhs = std::move(result).value()

#endif  // PROTOPAGE_BASE_STATUS_MACROS_H_
