#include "protopage/base/fuzz/fuzz_checks.h"

#include <iostream>

#include "absl/strings/string_view.h"
#include "protopage/base/check.h"

namespace protopage {

void CheckError(const absl::Status& status) {
  if (status.ok()) return;
  const absl::string_view message = status.message();
  const bool is_line = !message.empty() && message.size() <= kMostErrorBytes &&
                       message.find_first_of("\r\n") == absl::string_view::npos;
  if (is_line && !absl::IsInternal(status)) return;
  std::cerr << "no error for people: " << status << "\n";
  PROTOPAGE_CHECK(false);
}

}  // namespace protopage
