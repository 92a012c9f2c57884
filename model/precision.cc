#include "protopage/model/precision.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace protopage {
namespace {

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kTf32, Precision::kBf16,
                                     Precision::kFp16};

}  // namespace

absl::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
  }
  return "";
}

absl::StatusOr<Precision> ParsePrecision(absl::string_view name) {
  for (const Precision precision : kPrecisions) {
    if (PrecisionName(precision) == name) return precision;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("precision: found \"", name, "\", expected float32, tf32, bf16 or fp16"));
}

}  // namespace protopage
