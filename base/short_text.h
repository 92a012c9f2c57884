// ShortText: a user's text for a message, which stays one short line whatever the text is.
//
//   error = absl::StrCat("unknown key ", ShortText(key));  // "unknown key aaaa... (9999 bytes)"
#ifndef PROTOPAGE_BASE_SHORT_TEXT_H_
#define PROTOPAGE_BASE_SHORT_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace protopage {

// The text if it has at most 200 bytes, else its beginning, "..." and its size. UTF-8 characters
// are not cut; control characters are replaced by escapes.
std::string ShortText(absl::string_view text);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_SHORT_TEXT_H_
