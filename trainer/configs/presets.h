// The configs of trainer/configs/, built into the binaries.
#ifndef PROTOPAGE_TRAINER_CONFIGS_PRESETS_H_
#define PROTOPAGE_TRAINER_CONFIGS_PRESETS_H_

#include "absl/strings/string_view.h"

namespace protopage {

absl::string_view CifarPreset();
absl::string_view CifarDemoPreset();
absl::string_view GlyphsPreset();

}  // namespace protopage

#endif  // PROTOPAGE_TRAINER_CONFIGS_PRESETS_H_
