// Types of the host. protopage has a header of the same name with other types.

#ifndef REUSE_BASE_TYPES_H_
#define REUSE_BASE_TYPES_H_

#include <string>

namespace reuse {

// How the host names a class: by a word.
using ClassId = std::string;

struct Point {
  double x = 0;
  double y = 0;
};

}  // namespace reuse

#endif  // REUSE_BASE_TYPES_H_
