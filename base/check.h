// PROTOPAGE_CHECK(condition): aborts the program with file, line and condition when the condition
// is false. Only for our own bugs; a user's mistake is an absl::Status.
#ifndef PROTOPAGE_BASE_CHECK_H_
#define PROTOPAGE_BASE_CHECK_H_

namespace protopage {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace protopage

#define PROTOPAGE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::protopage::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // PROTOPAGE_BASE_CHECK_H_
