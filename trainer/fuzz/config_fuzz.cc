// Configs: JSON text, then changes as --set gives them, each after a zero byte.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "protopage/base/check.h"
#include "protopage/base/config_fields.h"
#include "protopage/base/fuzz/fuzz_checks.h"
#include "protopage/base/json_text.h"
#include "protopage/trainer/configs/config.h"

namespace protopage {
namespace {

void TryConfig(const std::string& bytes) {
  const std::vector<std::string> parts = absl::StrSplit(bytes, '\0');
  const absl::StatusOr<nlohmann::json> json = ParseJson(parts[0], "a.json");
  CheckError(json.status());
  if (!json.ok()) return;
  // What is printed is read as the same.
  for (const int indent : {-1, 2}) {
    const absl::StatusOr<nlohmann::json> again = ParseJson(DumpJson(*json, indent), "a.json");
    PROTOPAGE_CHECK(again.ok() && *again == *json);
  }
  const std::vector<std::string> set(parts.begin() + 1, parts.end());
  absl::StatusOr<TrainConfig> config = ReadTrainConfig(*json, set, "a.json");
  CheckError(config.status());
  if (!config.ok()) return;
  // A validated config has a value for every key, which says the same.
  const nlohmann::ordered_json written = WriteConfig(*config);
  const absl::StatusOr<nlohmann::json> text = ParseJson(DumpJson(written), "a.json");
  PROTOPAGE_CHECK(text.ok());
  absl::StatusOr<TrainConfig> again = ReadTrainConfig(*text, {}, "a.json");
  CheckError(again.status());
  PROTOPAGE_CHECK(again.ok() && WriteConfig(*again) == written);
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryConfig(std::string(data, data + size));
  return 0;
}
