#include "protopage/data/image_source.h"

namespace protopage {

int FindDomain(const ImageSource& source, const std::string& name) {
  const std::vector<std::string>& names = source.domain_names();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace protopage
