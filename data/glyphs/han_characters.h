// Han characters by Unicode code point, and the code points that are variants of another one.
#ifndef PROTOPAGE_DATA_GLYPHS_HAN_CHARACTERS_H_
#define PROTOPAGE_DATA_GLYPHS_HAN_CHARACTERS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace protopage {

// The NFKC form of a CJK compatibility ideograph (U+F900..FAFF, U+2F800..2FA1F), else the character
// itself: CanonicalHan(0xF900) is 0x8C48.
uint32_t CanonicalHan(uint32_t code);

// The code points of the blocks of ideographs and compatibility ideographs, ascending: 98,000, some
// of which are not assigned.
std::vector<uint32_t> HanCodePoints();

// "U+4E00"
std::string CodePointName(uint32_t code);
// The character in UTF-8.
std::string Utf8(uint32_t code);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_HAN_CHARACTERS_H_
