// ProgressFunction: reports how far a long call is.
#ifndef PROTOPAGE_DATA_PROGRESS_FUNCTION_H_
#define PROTOPAGE_DATA_PROGRESS_FUNCTION_H_

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"

namespace protopage {

// Called from the calling thread: "rendering glyphs", 120, 4000. First with done = 0, last with
// done = total.
using ProgressFunction = std::function<void(absl::string_view what, int64_t done, int64_t total)>;

}  // namespace protopage

#endif  // PROTOPAGE_DATA_PROGRESS_FUNCTION_H_
