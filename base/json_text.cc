#include "protopage/base/json_text.h"

#include <cstddef>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace protopage {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

}  // namespace

absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view source) {
  // The keys of the objects being parsed, innermost last, to find repeated ones, of which the
  // library would silently keep the last.
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  const Json::parser_callback_t callback = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      repeated = parsed.get<std::string>();
    }
    return true;
  };
  // The library reports syntax errors by exceptions, which are caught here.
  try {
    Json json = Json::parse(text.begin(), text.end(), callback,
                            /*allow_exceptions=*/true,
                            /*ignore_comments=*/true);
    if (!repeated.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ": the key \"", repeated, "\" stands twice in one object"));
    }
    return json;
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": not valid JSON: ", error.what()));
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
    return absl::InvalidArgumentError(absl::StrCat("--set ", quoted, ": is not UTF-8"));
  }
  const auto malformed = [&assignment](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set ", assignment, ": ", why, "; expected key.name=value"));
  };
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) return malformed("no key before '='");
  const std::string text(assignment.substr(equals + 1));
  Json* at = &json;
  for (absl::string_view part : absl::StrSplit(assignment.substr(0, equals), '.')) {
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
      return malformed(absl::StrCat("what stands before \"", part, "\" is not an object"));
    }
    at = &(*at)[std::string(part)];
    for (const size_t position : positions) {
      if (!at->is_array() || position >= at->size()) {
        return malformed(absl::StrCat("\"", part, "\" has no element ", position));
      }
      at = &(*at)[position];
    }
  }
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  *at = value.is_discarded() ? Json(text) : std::move(value);
  return absl::OkStatus();
}

}  // namespace protopage
