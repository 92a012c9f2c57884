#include "protopage/trainer/configs/presets.h"

namespace protopage {

// Each .inc is a config as a raw string literal, made by the build.
absl::string_view CifarPreset() {
  return
#include "protopage/trainer/configs/cifar.inc"
      ;
}

absl::string_view CifarDemoPreset() {
  return
#include "protopage/trainer/configs/cifar_demo.inc"
      ;
}

absl::string_view GlyphsPreset() {
  return
#include "protopage/trainer/configs/glyphs.inc"
      ;
}

}  // namespace protopage
