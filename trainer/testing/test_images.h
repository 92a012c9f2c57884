// Tiny data for tests, whose class can be learned from an image's colours: CIFAR folders in the
// official binary layouts, and PNG files.
#ifndef PROTOPAGE_TRAINER_TESTING_TEST_IMAGES_H_
#define PROTOPAGE_TRAINER_TESTING_TEST_IMAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace protopage {

// Writes cifar-10-batches-bin/ (10 classes) and cifar-100-binary/ (100 classes) below `directory`,
// with `images_per_class` training images and one test image a class.
absl::Status WriteTinyCifar(const std::string& directory, int64_t images_per_class);

// Writes side x side images `first_image`, ... of classes 0, 1, ... to DIRECTORY/c00/0.png, ...
absl::Status WriteTinyFolder(const std::string& directory, int num_classes, int64_t first_image,
                             int64_t images_per_class, int side);

// The images and classes of WriteTinyLists.
inline constexpr int kTinySide = 20;  // About the smallest that seed_cnn takes.
inline constexpr int kTinySourceClasses = 4;
inline constexpr int kTinyTargetClasses = 8;
inline constexpr int kTinyUnseenClasses = 3;

// Writes images below DIRECTORY/images and lists of them for each split: DIRECTORY/source_train.txt
// (4 images a class), source_test.txt (2), target_train.txt (one id, 2 spots), target_test.txt (2
// spots), unseen.txt (one id, 2 spots).
absl::Status WriteTinyLists(const std::string& directory);
// The "data" object, and all around it, of a config that trains on them in about a second: source,
// evaluate, imprint, dominant, evaluate.
std::string TinyListConfig(const std::string& directory);

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_TESTING_TEST_IMAGES_H_
