#include "protopage/base/sealed_json.h"

#include <xxhash.h>

#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/base/json_text.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr size_t kDigits = 16;
// A seal with more wrong characters is none.
constexpr size_t kMostMismatches = 2;

// One way to write a seal: the text before the digits and after them, which replaces the end of the
// object.
struct SealForm {
  absl::string_view before;
  absl::string_view after;
  absl::string_view end;
  size_t size() const { return before.size() + kDigits + after.size(); }
};

constexpr SealForm kForms[] = {
    {",\n  \"xxh3\": \"", "\"\n}\n", "\n}\n"},  // Indented.
    {",\"xxh3\":\"", "\"}\n", "}\n"},
};

std::string Digits(absl::string_view text) {
  return absl::StrFormat("%016x", XXH3_64bits(text.data(), text.size()));
}

// How many of the characters of the form, the digits aside, are not in their places at the end of
// `text`.
size_t Mismatches(absl::string_view text, const SealForm& form) {
  if (text.size() < form.size()) return form.size();
  const absl::string_view seal = text.substr(text.size() - form.size());
  const absl::string_view after = seal.substr(form.before.size() + kDigits);
  size_t count = 0;
  for (size_t i = 0; i < form.before.size(); ++i) count += seal[i] != form.before[i];
  for (size_t i = 0; i < form.after.size(); ++i) count += after[i] != form.after[i];
  return count;
}

}  // namespace

std::string SealJson(absl::string_view text) {
  for (const SealForm& form : kForms) {
    absl::string_view open = text;
    if (!absl::ConsumeSuffix(&open, form.end)) continue;
    PROTOPAGE_CHECK(!absl::EndsWith(open, "{"));
    const std::string sealed = absl::StrCat(open, form.before);
    return absl::StrCat(sealed, Digits(sealed), form.after);
  }
  PROTOPAGE_CHECK(false);
  return "";
}

absl::StatusOr<std::string> Unseal(absl::string_view text, absl::string_view source,
                                   SealRule rule) {
  const auto damaged = [&](absl::string_view why) {
    return absl::DataLossError(absl::StrCat(source, " is damaged, or was edited: ", why));
  };
  for (const SealForm& form : kForms) {
    const size_t mismatches = Mismatches(text, form);
    if (mismatches > kMostMismatches) continue;
    const size_t digits = text.size() - form.after.size() - kDigits;
    if (mismatches > 0 || text.substr(digits, kDigits) != Digits(text.substr(0, digits))) {
      return damaged("it does not match its checksum, xxh3");
    }
    return absl::StrCat(text.substr(0, text.size() - form.size()), form.end);
  }
  if (rule == SealRule::kRequired) return damaged("its checksum, xxh3, is missing");
  return std::string(text);
}

absl::StatusOr<nlohmann::json> ParseSealedJson(absl::string_view text, absl::string_view source,
                                               SealRule rule) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string plain, Unseal(text, source, rule));
  absl::StatusOr<nlohmann::json> json = ParseJson(plain, source);
  // Programs wrote it, so it is the file that is damaged.
  if (!json.ok()) return absl::DataLossError(json.status().message());
  if (json->is_object() && json->contains(kSealKey)) {
    return absl::DataLossError(
        absl::StrCat(source, " is damaged, or was edited: its checksum, xxh3, is not at its end"));
  }
  return json;
}

}  // namespace protopage
