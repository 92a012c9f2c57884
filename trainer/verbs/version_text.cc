#include "protopage/trainer/verbs/version_text.h"

#include "absl/strings/str_cat.h"
#include "protopage/third_party/versions.h"

namespace protopage {

std::string VersionText() {
  std::string text;
  for (const ComponentVersion& component : ComponentVersions()) {
    absl::StrAppend(&text, component.name, " ", component.version, "\n");
  }
  return text;
}

}  // namespace protopage
