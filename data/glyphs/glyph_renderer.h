// Draws the images of the glyph source: clean ids, and spots under distortions that are a function
// of a random stream. Grey, 255 = white paper.
//
//   Image image;
//   DrawId(*face, 0x4E00, 32, &image);
//   RandomStream random(seed, RandomPurpose::kRender, 0x4E00, i);
//   DrawSpot(*face, 0x4E00, 32, /*strength=*/1.0f, random, &image);
#ifndef PROTOPAGE_DATA_GLYPHS_GLYPH_RENDERER_H_
#define PROTOPAGE_DATA_GLYPHS_GLYPH_RENDERER_H_

#include <cstdint>

#include "protopage/base/random.h"
#include "protopage/data/glyphs/font_face.h"
#include "protopage/data/image.h"

namespace protopage {

// Part of the key of the cache: raise it when any pixel changes.
inline constexpr int kGlyphRenderVersion = 1;

// Draws black on white, upright and centred. False when the font does not draw the character.
bool DrawId(FontFace& face, uint32_t code, int size, Image* image);

// Draws the character as a camera would see it: warped, thicker or thinner, next to other
// characters and strokes, partly covered, blurred, in other inks and on other papers, unevenly lit,
// noisy. `strength` scales each of these; 0 gives the image of DrawId. False when the font does not
// draw the character.
bool DrawSpot(FontFace& face, uint32_t code, int size, float strength, RandomStream& random,
              Image* image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_RENDERER_H_
