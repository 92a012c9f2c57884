// A header of the host, in a folder whose name protopage uses as well.

#ifndef REUSE_MODEL_DETECTOR_H_
#define REUSE_MODEL_DETECTOR_H_

#include <cstdint>

namespace reuse {

struct Detector {
  int64_t num_classes = 2;
};

}  // namespace reuse

#endif  // REUSE_MODEL_DETECTOR_H_
