// SyntheticSource: images that are computed, of any number of classes, in no memory, to measure how
// training scales and to try a config without data.
//
//   auto source = MakeSyntheticSource({.num_classes = 100'000'000, .images_per_class = 2});
//
// A class is a smooth random pattern: kGrid x kGrid colours, keyed by (seed, class), interpolated
// linearly over the image. An image of the class is the pattern moved by up to a sixteenth of the
// side, with a change of brightness and noise, keyed by (seed, class, image). So a small net can
// learn the classes.
#ifndef PROTOPAGE_DATA_SYNTHETIC_SOURCE_H_
#define PROTOPAGE_DATA_SYNTHETIC_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "protopage/data/image_source.h"

namespace protopage {

struct SyntheticOptions {
  uint64_t seed = 0;
  std::string name = "synthetic";
  int64_t num_classes = 0;       // >= 1
  int64_t images_per_class = 2;  // >= 1
  // Records are the images first_image, first_image + 1, ... of each class, so that a test split
  // can have other images than the training split.
  int64_t first_image = 0;
  int image_size = 32;  // Side, in pixels; images are RGB.
  double noise = 0.1;   // Standard deviation of the noise of a pixel; pixels are in [0, 1].
};

// Record c * images_per_class + i is image first_image + i of class c.
std::unique_ptr<ImageSource> MakeSyntheticSource(const SyntheticOptions& options);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_SYNTHETIC_SOURCE_H_
