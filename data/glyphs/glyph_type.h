// The type "glyphs": data/glyphs/glyph_source.h. Its keys are a GlyphConfig.
#ifndef PROTOPAGE_DATA_GLYPHS_GLYPH_TYPE_H_
#define PROTOPAGE_DATA_GLYPHS_GLYPH_TYPE_H_

#include "protopage/data/source_type.h"

namespace protopage {

const SourceType& GlyphType();

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_TYPE_H_
