#include "protopage/base/json_text.h"

#include <cstddef>
#include <set>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Checks what the library accepts: a key that stands twice in an object, of which it would keep the
// last, and nesting so deep that functions that call themselves for each level overflow the stack.
class AllowedJson {
 public:
  // Called by the parser. False discards the value that starts.
  bool Check(int depth, Json::parse_event_t event, const Json& parsed) {
    const bool starts =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (starts && depth >= kMaxJsonDepth) too_deep_ = true;
    if (too_deep_) return false;
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys_.back().insert(parsed.get<std::string>()).second) {
      repeated_ = parsed.get<std::string>();
    }
    return true;
  }

  absl::Status status(absl::string_view source) const {
    if (too_deep_) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ": lists or objects are nested deeper than ", kMaxJsonDepth, " levels"));
    }
    if (!repeated_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": the key \"", ShortText(repeated_),
                                                     "\" stands twice in one object"));
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::set<std::string>> keys_;  // Of the objects being parsed, innermost last.
  std::string repeated_;
  bool too_deep_ = false;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view source) {
  AllowedJson allowed;
  const Json::parser_callback_t callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
    return allowed.Check(depth, event, parsed);
  };
  // The library reports syntax errors by exceptions, which are caught here.
  try {
    Json json = Json::parse(text.begin(), text.end(), callback,
                            /*allow_exceptions=*/true,
                            /*ignore_comments=*/true);
    PROTOPAGE_RETURN_IF_ERROR(allowed.status(source));
    return json;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": not valid JSON: ", ShortText(error.what())));
  }
}

std::string DumpJson(const nlohmann::ordered_json& json, int indent) {
  return absl::StrCat(json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace), "\n");
}

absl::Status SetJsonValue(absl::string_view assignment, nlohmann::json& json) {
  // Text that is not UTF-8 could be kept in memory, but not be written as JSON.
  const std::string quoted =
      Json(std::string(assignment)).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (Json::parse(quoted).get<std::string>() != assignment) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", ShortText(quoted), ": is not UTF-8"));
  }
  const auto malformed = [&assignment](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set ", ShortText(assignment), ": ", why, "; expected key.name=value"));
  };
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) return malformed("no key before '='");
  const std::string text(assignment.substr(equals + 1));
  Json* at = &json;
  const std::vector<absl::string_view> parts = absl::StrSplit(assignment.substr(0, equals), '.');
  if (parts.size() > kMaxJsonDepth) return malformed("too many names");
  for (absl::string_view part : parts) {
    std::vector<size_t> positions;
    const size_t bracket = part.find('[');
    if (bracket != absl::string_view::npos) {
      for (absl::string_view rest = part.substr(bracket); !rest.empty();) {
        const size_t close = rest.find(']');
        size_t position;
        if (rest[0] != '[' || close == absl::string_view::npos ||
            !absl::SimpleAtoi(rest.substr(1, close - 1), &position)) {
          return malformed("malformed [index]");
        }
        positions.push_back(position);
        rest.remove_prefix(close + 1);
      }
      part = part.substr(0, bracket);
    }
    if (part.empty()) return malformed("an empty name");
    if (at->is_null()) *at = Json::object();
    if (!at->is_object()) {
      return malformed(
          absl::StrCat("what stands before \"", ShortText(part), "\" is not an object"));
    }
    at = &(*at)[std::string(part)];
    for (const size_t position : positions) {
      if (!at->is_array() || position >= at->size()) {
        return malformed(absl::StrCat("\"", ShortText(part), "\" has no element ", position));
      }
      at = &(*at)[position];
    }
  }
  if (!Json::accept(text)) {
    *at = text;
    return absl::OkStatus();
  }
  const std::string source = absl::StrCat("--set ", ShortText(assignment.substr(0, equals)));
  PROTOPAGE_ASSIGN_OR_RETURN(*at, ParseJson(text, source));
  return absl::OkStatus();
}

}  // namespace protopage
