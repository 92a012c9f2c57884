#include "protopage/data/glyphs/han_characters.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace protopage {
namespace {

TEST(HanCharactersTest, CompatibilityIdeographsHaveACanonicalForm) {
  EXPECT_EQ(CanonicalHan(0xF900), 0x8C48u);
  EXPECT_EQ(CanonicalHan(0xFAD9), 0x9F8Eu);
  EXPECT_EQ(CanonicalHan(0x2F800), 0x4E3Du);
  EXPECT_EQ(CanonicalHan(0x2FA1D), 0x2A600u);
}

TEST(HanCharactersTest, OthersStandForThemselves) {
  EXPECT_EQ(CanonicalHan(0x4E00), 0x4E00u);
  EXPECT_EQ(CanonicalHan(0x20000), 0x20000u);
  // Twelve unified ideographs lie in the compatibility block.
  EXPECT_EQ(CanonicalHan(0xFA0E), 0xFA0Eu);
  EXPECT_EQ(CanonicalHan(0), 0u);
  EXPECT_EQ(CanonicalHan(0x10FFFF), 0x10FFFFu);
}

TEST(HanCharactersTest, CanonicalFormsAreCanonicalThemselves) {
  for (uint32_t code : HanCodePoints()) {
    ASSERT_EQ(CanonicalHan(CanonicalHan(code)), CanonicalHan(code)) << CodePointName(code);
  }
}

TEST(HanCharactersTest, CodePointsAscend) {
  const std::vector<uint32_t> codes = HanCodePoints();
  EXPECT_TRUE(std::is_sorted(codes.begin(), codes.end()));
  EXPECT_EQ(std::adjacent_find(codes.begin(), codes.end()), codes.end());
  EXPECT_GT(codes.size(), 90000u);
}

TEST(HanCharactersTest, NamesAndUtf8) {
  EXPECT_EQ(CodePointName(0x4E00), "U+4E00");
  EXPECT_EQ(CodePointName(0x20000), "U+20000");
  EXPECT_EQ(Utf8('a'), "a");
  EXPECT_EQ(Utf8(0xE9), "\xC3\xA9");
  EXPECT_EQ(Utf8(0x4E00), "\xE4\xB8\x80");
  EXPECT_EQ(Utf8(0x20000), "\xF0\xA0\x80\x80");
}

}  // namespace
}  // namespace protopage
