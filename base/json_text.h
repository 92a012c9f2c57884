// JSON as users write it and as programs print it.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, "train.json"));
//   PROTOPAGE_RETURN_IF_ERROR(SetJsonValue("stages[0].steps=100", json));
//   const std::string line = DumpJson(json, /*indent=*/-1);
#ifndef PROTOPAGE_BASE_JSON_TEXT_H_
#define PROTOPAGE_BASE_JSON_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

// How deep lists and objects may be nested.
inline constexpr int kMaxJsonDepth = 200;

// JSON with // and /* */ comments. Errors: InvalidArgument with `source`, line and column; the same
// key twice in one object is an error, and so are lists and objects nested too deep.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view source);

// The text of `json` and a newline, for files and --json. Strings that are not UTF-8 (names from
// users' files) are written with replacement characters.
std::string DumpJson(const nlohmann::ordered_json& json, int indent = 2);

// Applies one "a.b.c=value" or "stages[0].steps=100" (--set) to `json`, creating objects on the
// way. The value is JSON when it parses as JSON, else a string. Errors: InvalidArgument, for text
// that is not UTF-8 too, and those of ParseJson for JSON that is not allowed.
absl::Status SetJsonValue(absl::string_view assignment, nlohmann::json& json);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_JSON_TEXT_H_
