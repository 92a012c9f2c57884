// Tiny CIFAR folders for tests: the official binary layouts with few images, whose class can be
// learned from their colours.
#ifndef PROTOPAGE_TRAINER_TEST_IMAGES_H_
#define PROTOPAGE_TRAINER_TEST_IMAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace protopage {

// Writes cifar-10-batches-bin/ (10 classes) and cifar-100-binary/ (100 classes) below `directory`, with
// `images_per_class` training images and one test image a class.
absl::Status WriteTinyCifar(const std::string& directory, int64_t images_per_class);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_TEST_IMAGES_H_
