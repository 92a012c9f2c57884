// Random changes to training images, a function of (seed, step, position in the batch).
//
//   AugmentConfig config;
//   config.flip = 0.5;
//   config.pad_crop = 4;
//   RandomStream random(seed, RandomPurpose::kAugment, step, i);
//   Augment(config, random, &scratch, &image);
//
// All arithmetic on pixels is in integers or in single IEEE operations, so the bits are the same on
// every machine.
#ifndef PROTOPAGE_DATA_AUGMENT_H_
#define PROTOPAGE_DATA_AUGMENT_H_

#include <cstdint>

#include "protopage/base/config_fields.h"
#include "protopage/base/random.h"
#include "protopage/data/image.h"

namespace protopage {

// A field of -1 means the default of the data's type, see AugmentFor in data/open_source.h; for
// Augment itself it means none, as 0 does.
struct AugmentConfig {
  double flip = -1;        // Probability of mirroring left and right.
  int64_t pad_crop = -1;   // Pixels of border around the image, of which a random crop is taken.
  double rotate = -1;      // Degrees, uniform in [-rotate, rotate].
  double scale = -1;       // A factor for each axis, uniform in [1 - scale, 1 + scale].
  double shear = -1;       // Horizontal shear, uniform in [-shear, shear].
  double shift = -1;       // Shares of width and height, uniform in [-shift, shift].
  double brightness = -1;  // Added, uniform in [-brightness, brightness] * 255.
  double contrast = -1;    // Factor about mid grey, uniform in [1 - contrast, 1 + contrast].
  double noise = -1;       // Uniform noise of each value of at most noise * 255.

  void Fields(ConfigVisitor& v);
  // No change at all, for evaluation.
  static AugmentConfig None();
  bool IsNone() const;
};

// Applies the changes of `config` in the order warp (rotate, scale, shear, shift), flip, pad_crop,
// contrast and brightness, noise. Outside of the image, a warp reads the nearest border pixel and a
// crop reads 0. The shape does not change. `scratch` is working memory, kept between calls.
void Augment(const AugmentConfig& config, RandomStream& random, Image* scratch, Image* image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_AUGMENT_H_
