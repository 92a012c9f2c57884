// The characters that are classes, and the fonts that draw each of them, for the glyph source.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
//   PROTOPAGE_ASSIGN_OR_RETURN(const auto sets, ChooseGlyphClasses(config, fonts, &pool, {}));
//
// A character is usable when the id font, at least config.min_lineages training lineages and at
// least one held-out lineage draw it. Not used are:
// - compatibility ideographs, which are variants of another character by NFKC;
// - characters that the id font draws like an earlier one, or nearly so;
// - a font's glyph that coincides with its glyph for another character, or for missing ones: the
//   font then counts as drawing neither.
// The order is a hash of (seed, character); the source set takes the first characters, the unseen
// set the next, the target set those after them. So the sets are disjoint, and a larger number of
// target classes does not change the other two.
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

// Reads the fonts of the config and checks that their files exist. Errors: InvalidArgument (a wrong
// font or lineage), NotFound with the missing files and the Debian packages that contain them.
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

// Errors: InvalidArgument when fewer characters are usable than the config asks for, or when a
// held-out font correlates with a training font as much as one of the same lineage (font_face.h).
absl::StatusOr<GlyphClassSets> ChooseGlyphClasses(const GlyphConfig& config,
                                                  const GlyphFonts& fonts, ThreadPool* pool,
                                                  const GlyphProgress& progress);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_CLASSES_H_
