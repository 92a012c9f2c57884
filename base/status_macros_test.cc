#include "protopage/base/status_macros.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/cord.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

absl::StatusOr<std::unique_ptr<int>> Half(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError("odd");
  return std::make_unique<int>(x / 2);
}

absl::Status Quarter(int x, int* out) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<int> half, Half(x));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<int> quarter, Half(*half));
  PROTOPAGE_RETURN_IF_ERROR(absl::OkStatus());
  *out = *quarter;
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ValueIsMovedOutAndErrorsReturn) {
  int out = 0;
  PROTOPAGE_EXPECT_OK(Quarter(8, &out));
  EXPECT_EQ(out, 2);
  EXPECT_THAT(Quarter(6, &out), StatusIs(absl::StatusCode::kInvalidArgument, "odd"));
  EXPECT_EQ(out, 2);
}

TEST(StatusMacrosTest, ContextKeepsCodeAndPayload) {
  absl::Status status = absl::DataLossError("bad row");
  status.SetPayload("url", absl::Cord("p"));
  const absl::Status result = WithContext(status, "w.h5");
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kDataLoss, "w.h5: bad row"));
  EXPECT_TRUE(result.GetPayload("url").has_value());
  PROTOPAGE_EXPECT_OK(WithContext(absl::OkStatus(), "x"));
}

}  // namespace
}  // namespace protopage
