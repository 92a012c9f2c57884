#include "protopage/base/short_text.h"

#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace protopage {
namespace {

// Escapes for control characters.
std::string OneLine(absl::string_view text) {
  std::string line;
  for (const char c : text) {
    if (!absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else {
      absl::StrAppendFormat(&line, "\\x%02x", static_cast<unsigned char>(c));
    }
  }
  return line;
}

}  // namespace

std::string ShortText(absl::string_view text) {
  constexpr size_t kMaxBytes = 200;
  if (text.size() <= kMaxBytes) return OneLine(text);
  size_t end = kMaxBytes;
  // The bytes of a UTF-8 character after its first one are 10xxxxxx.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(OneLine(text.substr(0, end)), "... (", text.size(), " bytes)");
}

}  // namespace protopage
