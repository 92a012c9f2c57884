// Random changes to training images, a function of (seed, step, position in the
// batch).
//
//   AugmentConfig config;
//   config.flip = 0.5;
//   config.pad_crop = 4;
//   RandomStream random(seed, RandomPurpose::kAugment, step, i);
//   Augment(config, random, &scratch, &image);
//
// All arithmetic that reaches pixels is in integers or in single IEEE
// operations, so the bits are the same on every machine.
#ifndef PROTOPAGE_DATA_AUGMENT_H_
#define PROTOPAGE_DATA_AUGMENT_H_

#include <cstdint>

#include "protopage/base/config_fields.h"
#include "protopage/base/random.h"
#include "protopage/data/image.h"

namespace protopage {

// A field of -1 means the default of the data's type, see AugmentFor in
// data/open_source.h; for Augment itself it means none, like 0.
struct AugmentConfig {
  double flip = -1;        // Probability of mirroring left and right.
  int64_t pad_crop = -1;   // Pixels of border, at the loader's size, for a crop at random.
  double rotate = -1;      // Degrees, uniform in [-rotate, rotate].
  double scale = -1;       // Each axis by a factor uniform in [1 - scale, 1 + scale].
  double shear = -1;       // Horizontal shear, uniform in [-shear, shear].
  double shift = -1;       // Of width and height, uniform in [-shift, shift].
  double brightness = -1;  // Added, uniform in [-brightness, brightness] * 255.
  double contrast = -1;    // Factor about mid grey, uniform in [1 - contrast, 1 + contrast].
  double noise = -1;       // Uniform noise a pixel of at most noise * 255.

  void Fields(ConfigVisitor& v);
  // Nothing at all: what evaluation uses.
  static AugmentConfig None();
  bool IsNone() const;
};

// Applies what `config` says in the order warp (rotate, scale, shear, shift),
// flip, pad_crop, contrast and brightness, noise. Where a warp or crop looks
// outside the image it finds the nearest border pixel for the warp, 0 for the
// crop. The shape stays. `scratch` is working memory, kept between calls.
void Augment(const AugmentConfig& config, RandomStream& random, Image* scratch, Image* image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_AUGMENT_H_
