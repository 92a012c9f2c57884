#include "protopage/base/fuzz/fuzz_checks.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protopage/base/json_text.h"

namespace protopage {
namespace {

TEST(FuzzChecksTest, TheExampleOfTheHeader) {
  const std::string text = "{";
  const absl::StatusOr<nlohmann::json> json = ParseJson(text, "config.json");
  CheckError(json.status());
  EXPECT_FALSE(json.ok());
}

TEST(FuzzChecksTest, AnErrorIsOneShortLine) {
  CheckError(absl::OkStatus());
  CheckError(absl::DataLossError("a.h5: truncated"));
  EXPECT_DEATH(CheckError(absl::DataLossError("")), "no error for people");
  EXPECT_DEATH(CheckError(absl::DataLossError("a\nb")), "no error for people");
  EXPECT_DEATH(CheckError(absl::DataLossError(std::string(kMostErrorBytes + 1, 'a'))),
               "no error for people");
  EXPECT_DEATH(CheckError(absl::InternalError("a bug")), "no error for people");
}

}  // namespace
}  // namespace protopage
