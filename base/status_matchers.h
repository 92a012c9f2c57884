// GoogleTest matchers for absl::Status and absl::StatusOr:
//
//   PROTOPAGE_EXPECT_OK(file->Sync());
//   PROTOPAGE_ASSERT_OK_AND_ASSIGN(const int64_t size, file->Size());
//   EXPECT_THAT(file->ReadAt(size, &byte, 1), StatusIs(absl::StatusCode::kOutOfRange, "ends"));
#ifndef PROTOPAGE_BASE_STATUS_MATCHERS_H_
#define PROTOPAGE_BASE_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace protopage {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// The status has the code `code`, and its message contains `substring`.
MATCHER_P2(StatusIs, code, substring, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         std::string(status.message()).find(substring) != std::string::npos;
}

MATCHER(IsOk, "") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

}  // namespace protopage

#define PROTOPAGE_EXPECT_OK(expr) EXPECT_THAT((expr), ::protopage::IsOk())
#define PROTOPAGE_ASSERT_OK(expr) ASSERT_THAT((expr), ::protopage::IsOk())

#define PROTOPAGE_MATCHERS_CONCAT_INNER(a, b) a##b
#define PROTOPAGE_MATCHERS_CONCAT(a, b) PROTOPAGE_MATCHERS_CONCAT_INNER(a, b)
#define PROTOPAGE_ASSERT_OK_AND_ASSIGN(lhs, expr)                                              \
  PROTOPAGE_ASSERT_OK_AND_ASSIGN_INNER(PROTOPAGE_MATCHERS_CONCAT(protopage_result_, __LINE__), \
                                       lhs, expr)
#define PROTOPAGE_ASSERT_OK_AND_ASSIGN_INNER(result, lhs, expr) \
  auto result = (expr);                                         \
  ASSERT_TRUE(result.ok()) << result.status();                  \
  lhs = std::move(result).value()

#endif  // PROTOPAGE_BASE_STATUS_MATCHERS_H_
