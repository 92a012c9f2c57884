#include "protopage/model/precision.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

TEST(PrecisionTest, NamesOfPrecisionsAreRead) {
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Precision parsed,
                                   ParsePrecision(PrecisionName(precision)));
    EXPECT_EQ(parsed, precision);
  }
  EXPECT_THAT(ParsePrecision("fp8"),
              StatusIs(absl::StatusCode::kInvalidArgument, "precision: found \"fp8\""));
}

absl::Status Example(Precision* parsed) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Precision precision, ParsePrecision("bf16"));
  *parsed = precision;
  return absl::OkStatus();
}

TEST(PrecisionTest, TheExampleOfTheHeader) {
  Precision parsed;
  PROTOPAGE_ASSERT_OK(Example(&parsed));
  EXPECT_EQ(parsed, Precision::kBf16);
}

}  // namespace
}  // namespace protopage
