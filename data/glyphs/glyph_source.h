// Han characters drawn from fonts: a bisample problem, like ID photos against spot photos, that
// needs no download.
//
//   GlyphConfig config;
//   PROTOPAGE_ASSIGN_OR_RETURN(auto train, OpenGlyphs(config, 32, GlyphSplit::kTargetTrain, {}));
//
// A class is a character. Its domain "id" is one image in one clean print face; "spot" is other
// designs under seeded distortions. The images are fixed: a function of (seed, character, image).
//
//   split         classes   images per class                            fonts of the spots
//   source_train  source    1 id + source_samples - 1 spots             training
//   source_test   source    test_spots spots                            held out
//   target_train  target    1 id + target_spots spots                   training
//   target_test   target    test_spots spots                            held out
//   unseen        unseen    1 id + test_spots spots                     held out
//
// The three sets of classes are disjoint (data/glyphs/glyph_classes.h). The spots of a class go
// through the lineages that draw it in random order, each as often as the others.
//
// The first call for a config renders all splits and keeps them in a cache file, whose name is a
// hash of the settings and of the contents of the fonts; later calls read and verify the file, and
// render again if it is damaged. The bits depend neither on the cache nor on the number of threads.
#ifndef PROTOPAGE_DATA_GLYPHS_GLYPH_SOURCE_H_
#define PROTOPAGE_DATA_GLYPHS_GLYPH_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "protopage/base/file.h"
#include "protopage/data/glyphs/glyph_classes.h"
#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/image_source.h"

namespace protopage {

enum class GlyphSplit { kSourceTrain, kSourceTest, kTargetTrain, kTargetTest, kUnseen };
inline constexpr int kNumGlyphSplits = 5;

struct GlyphOptions {
  FileSystem* fs = DefaultFileSystem();  // Of the cache.
  int threads = 0;                       // For rendering; 0 means one per processor.
  GlyphProgress progress;                // Called from the thread that calls OpenGlyphs.
};

// `size` is the side of the images in pixels, in [8, 256]. Errors: NotFound (a font is missing: the
// message names the packages), InvalidArgument (more classes than the fonts draw, wrong fonts),
// DataLoss (a damaged font), and those of the file system when the config's cache_dir cannot be
// written. Without a writable default cache, each call renders.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenGlyphs(const GlyphConfig& config, int size,
                                                        GlyphSplit split,
                                                        const GlyphOptions& options);

// The path of the config's cache file, or "" when there is no folder for it.
absl::StatusOr<std::string> GlyphCachePath(const GlyphConfig& config, int size);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_SOURCE_H_
