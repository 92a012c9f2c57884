// The "data.glyphs" object of a config: see data/glyph_source.h.
#ifndef PROTOPAGE_DATA_GLYPH_CONFIG_H_
#define PROTOPAGE_DATA_GLYPH_CONFIG_H_

#include <cstdint>
#include <string>

#include "base/config_fields.h"

namespace protopage {

struct GlyphConfig {
  int64_t seed = 1;
  int64_t source_classes = 500;
  int64_t source_samples =
      24;  // Training images a source class, its id image among them.
  int64_t target_classes = 4000;
  int64_t target_spots =
      4;  // Training spots a target class, beside one id image.
  int64_t unseen_classes = 1000;
  int64_t test_spots =
      2;  // Evaluation spots a class, for every set of classes.
  double distortion = 1.0;  // Strength of what makes a spot, 0 = none.
  std::string font_dir = "/usr/share/fonts";
  std::string
      cache_dir;  // "": $XDG_CACHE_HOME/protopage, or ~/.cache/protopage.

  void Fields(ConfigVisitor& v);
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPH_CONFIG_H_
