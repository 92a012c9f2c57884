// Error handling of the host: codes, and macros whose names many projects use.

#ifndef REUSE_BASE_STATUS_H_
#define REUSE_BASE_STATUS_H_

#include <cstdlib>
#include <utility>

namespace reuse {

enum class Error { kNone = 0, kEmpty = 1 };

// A value and an error, of which the value holds if there is no error.
template <typename T>
struct Result {
  Error error = Error::kNone;
  T value = T();
};

}  // namespace reuse

#define CHECK(condition) \
  if (!(condition)) std::abort()
#define CHECK_OK(expression) CHECK((expression) == ::reuse::Error::kNone)
#define RETURN_IF_ERROR(expression)                          \
  if (const ::reuse::Error error_of_the_host = (expression); \
      error_of_the_host != ::reuse::Error::kNone) {          \
    return error_of_the_host;                                \
  }
#define ASSIGN_OR_RETURN(variable, expression) \
  auto result_of_the_host = (expression);      \
  RETURN_IF_ERROR(result_of_the_host.error);   \
  variable = std::move(result_of_the_host.value)
#define EXPECT_OK(expression) EXPECT_EQ((expression), ::reuse::Error::kNone)
#define ASSERT_OK(expression) ASSERT_EQ((expression), ::reuse::Error::kNone)
#define ASSERT_OK_AND_ASSIGN(variable, expression) \
  auto asserted_by_the_host = (expression);        \
  ASSERT_OK(asserted_by_the_host.error);           \
  variable = std::move(asserted_by_the_host.value)

#endif  // REUSE_BASE_STATUS_H_
