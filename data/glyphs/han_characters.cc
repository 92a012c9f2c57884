#include "protopage/data/glyphs/han_characters.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_format.h"

namespace protopage {
namespace {

struct Compatibility {
  uint32_t code;
  uint32_t canonical;
};

constexpr Compatibility kCompatibility[] = {
#include "han_compatibility.inc"
};

// First and last code point.
constexpr uint32_t kBlocks[][2] = {
    {0x3400, 0x4DBF},    // Extension A
    {0x4E00, 0x9FFF},    // CJK unified ideographs
    {0xF900, 0xFAFF},    // Compatibility ideographs
    {0x20000, 0x2A6DF},  // Extension B
    {0x2A700, 0x2EBEF},  // Extensions C to F
    {0x2F800, 0x2FA1F},  // Compatibility ideographs supplement
    {0x30000, 0x323AF},  // Extensions G and H
};

}  // namespace

uint32_t CanonicalHan(uint32_t code) {
  const auto* it =
      std::lower_bound(std::begin(kCompatibility), std::end(kCompatibility), code,
                       [](const Compatibility& c, uint32_t value) { return c.code < value; });
  return it != std::end(kCompatibility) && it->code == code ? it->canonical : code;
}

std::vector<uint32_t> HanCodePoints() {
  std::vector<uint32_t> codes;
  for (const auto& block : kBlocks) {
    for (uint32_t code = block[0]; code <= block[1]; ++code) codes.push_back(code);
  }
  return codes;
}

std::string CodePointName(uint32_t code) { return absl::StrFormat("U+%04X", code); }

std::string Utf8(uint32_t code) {
  std::string text;
  auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
  return text;
}

}  // namespace protopage
