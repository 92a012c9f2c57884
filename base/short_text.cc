#include "protopage/base/short_text.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace protopage {

std::string ShortText(absl::string_view text) {
  constexpr size_t kMaxBytes = 200;
  if (text.size() <= kMaxBytes) return std::string(text);
  size_t end = kMaxBytes;
  // The bytes of a UTF-8 character after its first one are 10xxxxxx.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "... (", text.size(), " bytes)");
}

}  // namespace protopage
