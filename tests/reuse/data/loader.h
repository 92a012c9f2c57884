// The host's loader, of points in text. protopage's header of the same name loads images.

#ifndef REUSE_DATA_LOADER_H_
#define REUSE_DATA_LOADER_H_

#include <sstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace reuse {

class Loader {
 public:
  explicit Loader(std::string text) : text_(std::move(text)) {}

  // The points "x y x y ..." of the text.
  Result<std::vector<Point>> Load() const {
    Result<std::vector<Point>> points;
    std::istringstream in(text_);
    for (Point point; in >> point.x >> point.y;) points.value.push_back(point);
    if (points.value.empty()) points.error = Error::kEmpty;
    return points;
  }

 private:
  std::string text_;
};

}  // namespace reuse

#endif  // REUSE_DATA_LOADER_H_
