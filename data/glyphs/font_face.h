// FontFace: the glyph outlines of a font file, by FreeType, and their rasters.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(const FontSpec spec, ParseFontSpec("ukai=arphic/ukai.ttc"));
//   PROTOPAGE_ASSIGN_OR_RETURN(auto face, FontFace::Open("/usr/share/fonts/truetype", spec));
//   GlyphPlacement placement;  // Upright, centred, the em as large as the image.
//   std::vector<uint8_t> ink(32 * 32);
//   const bool drawn = face->Draw(0x4E00, placement, 32, ink.data());  // 255 = ink
#ifndef PROTOPAGE_DATA_GLYPHS_FONT_FACE_H_
#define PROTOPAGE_DATA_GLYPHS_FONT_FACE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace protopage {

// One face of a font file and its design. Fonts derived from one another, and the weights of one
// family, are one lineage.
struct FontSpec {
  std::string lineage;
  std::string path;  // Relative to the font folder, or absolute.
  int face = 0;      // In a collection (.ttc).
};

// Reads "lineage=path" or "lineage=path@face". Errors: InvalidArgument.
absl::StatusOr<FontSpec> ParseFontSpec(absl::string_view text);

// The placement of a glyph's outline in a square image. Coordinates are in units of the em, from
// the centre of the glyph's bounding box, y upwards; the image is [-1/2, 1/2] in both directions.
struct GlyphPlacement {
  // First: scales the bounding box to the image, each axis independently.
  bool fill = false;
  // (x, y) -> (xx x + xy y + dx, yx x + yy y + dy)
  float xx = 1, xy = 0, yx = 0, yy = 1;
  float dx = 0, dy = 0;
  // Before that: x += bend[0] y^2 + bend[1] x y + bend[2] x^2, y likewise with bend[3..5].
  float bend[6] = {0, 0, 0, 0, 0, 0};
  // Added to the thickness of strokes, in ems; negative thins.
  float embolden = 0;
};

// Not thread-safe: a face holds the outline of its current glyph. Open one in each thread.
class FontFace {
 public:
  // Errors: NotFound (no such file), DataLoss (not a font, no Unicode table, no outlines).
  static absl::StatusOr<std::unique_ptr<FontFace>> Open(const std::string& font_dir,
                                                        const FontSpec& spec);
  ~FontFace();
  FontFace(const FontFace&) = delete;
  FontFace& operator=(const FontFace&) = delete;

  // Whether the font's table has the character. The glyph may still be empty, see Draw.
  bool Maps(uint32_t code) const;

  // Draws the character into ink[size, size], 0 to 255 by the covered share of each pixel. Returns
  // false, and sets `ink` to 0, when the font does not have the character, maps it to the glyph for
  // missing characters, or draws nothing.
  bool Draw(uint32_t code, const GlyphPlacement& placement, int size, uint8_t* ink);

 private:
  struct Handles;
  explicit FontFace(std::unique_ptr<Handles> handles);

  std::unique_ptr<Handles> handles_;
  std::vector<uint8_t> missing_;  // The raster of the glyph for missing characters.
};

// The path of the spec's file, relative ones below font_dir.
std::string FontPath(const std::string& font_dir, const FontSpec& spec);

// The arguments of FontCorrelation: for each character its raster, scaled to its bounding box,
// slightly blurred, of zero mean and unit norm; empty when the font does not draw the character.
std::vector<std::vector<float>> FontSignatures(FontFace& face, const std::vector<uint32_t>& codes);

// The similarity of two fonts: the median correlation over the characters that both draw, given the
// signatures of the same characters. Regional variants and re-issues of a design have more than
// 0.9. A bold weight of a family (0.83 to 0.92) cannot always be distinguished from an independent
// design of the same style (0.7 to 0.88), so specs give weights one lineage by name. -1 when both
// draw fewer than 8 of the characters.
double FontCorrelation(const std::vector<std::vector<float>>& a,
                       const std::vector<std::vector<float>>& b);
// Two fonts with this correlation or more are one lineage.
inline constexpr double kSameLineage = 0.9;

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_FONT_FACE_H_
