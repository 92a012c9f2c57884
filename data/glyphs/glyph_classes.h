// Which characters are classes, and which fonts draw each of them: the choice behind the glyph
// source.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
//   PROTOPAGE_ASSIGN_OR_RETURN(const GlyphClassSets sets, ChooseGlyphClasses(config, fonts, &pool, {}));
//
// A character is usable when the id font draws it, at least config.min_lineages training lineages
// and one held-out lineage do. Dropped are:
//   - compatibility ideographs, which are variants of another character by NFKC;
//   - characters that the id font draws as it does an earlier one, or nearly so;
//   - a font's glyph that coincides with its glyph for another character, or for missing ones:
//     the font then counts as not drawing either.
// The order is a hash of (seed, character); the source set takes the first, the unseen set the
// next, the target set what follows. So the sets are disjoint, and more target classes leave the
// other two as they are.
#ifndef PROTOPAGE_DATA_GLYPHS_GLYPH_CLASSES_H_
#define PROTOPAGE_DATA_GLYPHS_GLYPH_CLASSES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/base/thread_pool.h"
#include "protopage/data/glyphs/font_face.h"
#include "protopage/data/glyphs/glyph_config.h"

namespace protopage {

struct GlyphFonts {
  std::string font_dir;
  // fonts[0] is the id font; [1, first_held_out) are for training spots, the rest held out.
  std::vector<FontSpec> fonts;
  int first_held_out = 0;

  bool HeldOut(int font) const { return font >= first_held_out; }
};

// Reads the config's fonts and looks whether their files exist. Errors: InvalidArgument (a font
// or lineage is wrong), NotFound: names what is missing and the Debian packages that have it.
absl::StatusOr<GlyphFonts> ResolveGlyphFonts(const GlyphConfig& config);

// The open faces of a thread, in the order of GlyphFonts::fonts.
using GlyphFaces = std::vector<std::unique_ptr<FontFace>>;
absl::StatusOr<GlyphFaces> OpenGlyphFaces(const GlyphFonts& fonts);

struct GlyphClass {
  uint32_t code = 0;
  uint64_t fonts = 0;  // Bit f: fonts[f] draws it, and nothing else the same way.
};

struct GlyphClassSets {
  std::vector<GlyphClass> source;
  std::vector<GlyphClass> unseen;
  std::vector<GlyphClass> target;
};

using GlyphProgress = std::function<void(absl::string_view what, int64_t done, int64_t total)>;

// Errors: InvalidArgument when the fonts draw fewer usable characters than asked for, or when a
// held-out font correlates with a training font like one of the same lineage (font_face.h).
absl::StatusOr<GlyphClassSets> ChooseGlyphClasses(const GlyphConfig& config,
                                                  const GlyphFonts& fonts, ThreadPool* pool,
                                                  const GlyphProgress& progress);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_CLASSES_H_
