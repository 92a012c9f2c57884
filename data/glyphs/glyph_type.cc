#include "protopage/data/glyphs/glyph_type.h"

#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/glyphs/glyph_source.h"

namespace protopage {
namespace {

GlyphSplit GlyphSplitOf(Split split) {
  switch (split) {
    case Split::kSourceTrain:
    case Split::kSourceValidation:
      return GlyphSplit::kSourceTrain;
    case Split::kSourceTest:
      return GlyphSplit::kSourceTest;
    case Split::kTargetTrain:
    case Split::kTargetValidation:
      return GlyphSplit::kTargetTrain;
    case Split::kTargetTest:
      return GlyphSplit::kTargetTest;
    case Split::kUnseen:
      break;
  }
  return GlyphSplit::kUnseen;
}

absl::Status CheckSplit(const SourceSettings& settings, Split split) {
  const GlyphConfig& config = settings.options.Get<GlyphConfig>();
  return CheckClassCount(
      "glyphs", {config.source_classes, config.target_classes, config.unseen_classes}, split);
}

// A little of what distinguishes one print of a character from another; never mirrored.
AugmentConfig Augmentation(const SourceSettings&) {
  AugmentConfig augment = AugmentConfig::None();
  augment.rotate = 5;
  augment.scale = 0.1;
  augment.shear = 0.1;
  augment.shift = 0.06;
  augment.brightness = 0.1;
  augment.contrast = 0.2;
  augment.noise = 0.05;
  return augment;
}

absl::StatusOr<std::unique_ptr<ImageSource>> Open(const SourceRequest& request) {
  GlyphOptions options;
  options.threads = request.options.threads;
  options.progress = request.options.progress;
  return OpenGlyphs(request.settings.options.Get<GlyphConfig>(),
                    static_cast<int>(request.settings.image_size), GlyphSplitOf(request.split),
                    options);
}

}  // namespace

const SourceType& GlyphType() {
  static const SourceType type = {
      .name = "glyphs",
      .help = "rendered characters",
      .channels = 1,
      .check_split = CheckSplit,
      .fields =
          [](SourceSettings& settings, ConfigVisitor& v) {
            v.Object("glyphs", &settings.options.Mutable<GlyphConfig>(),
                     "glyphs: classes, fonts and distortions");
          },
      .augmentation = Augmentation,
      .open = Open,
  };
  return type;
}

}  // namespace protopage
