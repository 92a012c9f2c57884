#include "trainer/presets.h"

namespace protopage {

// Each .inc is a config as a raw string literal, made by the build.
absl::string_view CifarPreset() {
  return
#include "trainer/configs/cifar.inc"
      ;
}

absl::string_view CifarDemoPreset() {
  return
#include "trainer/configs/cifar_demo.inc"
      ;
}

absl::string_view GlyphsPreset() {
  return
#include "trainer/configs/glyphs.inc"
      ;
}

}  // namespace protopage
