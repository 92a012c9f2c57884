// Whether a stage in progress goes on with the images that it began with: with others its epochs
// would be longer or shorter, and their order another one.
//
//   const StageImages begun = DescribeImages(*source);
//   ...  // Saved in a checkpoint, and read again.
//   PROTOPAGE_RETURN_IF_ERROR(CheckSameImages(begun, *source));
#ifndef PROTOPAGE_TRAINER_RUN_STAGE_IMAGES_H_
#define PROTOPAGE_TRAINER_RUN_STAGE_IMAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "protopage/data/image_source.h"

namespace protopage {

struct StageImages {
  int64_t count = -1;  // -1: not known, in checkpoints of earlier versions.
  std::string labels;  // XXH3 of the labels in order, 16 hexadecimal digits.
};

StageImages DescribeImages(const ImageSource& source);

// Errors: InvalidArgument when the images of `source` are not the ones that `begun` describes. The
// content of the images is not compared.
absl::Status CheckSameImages(const StageImages& begun, const ImageSource& source);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_RUN_STAGE_IMAGES_H_
