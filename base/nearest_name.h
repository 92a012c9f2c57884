// NearestName: the name that a user probably meant.
#ifndef PROTOPAGE_BASE_NEAREST_NAME_H_
#define PROTOPAGE_BASE_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace protopage {

// The element of `candidates` with the smallest edit distance to `word`, or "" when none is near
// enough: NearestName("cuont", {"count", "kind"}) is "count".
std::string NearestName(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace protopage

#endif  // PROTOPAGE_BASE_NEAREST_NAME_H_
