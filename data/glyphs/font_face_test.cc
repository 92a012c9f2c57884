#include "protopage/data/glyphs/font_face.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "protopage/base/file.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"

namespace protopage {
namespace {

constexpr char kFontDir[] = "/usr/share/fonts";
constexpr char kSans[] = "sans=opentype/noto/NotoSansCJK-Regular.ttc@2";
constexpr char kSansVariant[] = "sans=opentype/noto/NotoSansCJK-Regular.ttc@0";
constexpr char kBold[] = "sans=opentype/noto/NotoSansCJK-Bold.ttc@2";
constexpr char kKai[] = "ukai=truetype/arphic/ukai.ttc";

std::unique_ptr<FontFace> OpenFace(const std::string& text) {
  absl::StatusOr<FontSpec> spec = ParseFontSpec(text);
  PROTOPAGE_EXPECT_OK(spec);
  absl::StatusOr<std::unique_ptr<FontFace>> face = FontFace::Open(kFontDir, *spec);
  PROTOPAGE_EXPECT_OK(face);
  return face.ok() ? *std::move(face) : nullptr;
}

TEST(ParseFontSpecTest, ReadsLineagePathAndFace) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const FontSpec spec, ParseFontSpec("kai=a/b.ttc@3"));
  EXPECT_EQ(spec.lineage, "kai");
  EXPECT_EQ(spec.path, "a/b.ttc");
  EXPECT_EQ(spec.face, 3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const FontSpec plain, ParseFontSpec("kai=/a/b=c.ttf"));
  EXPECT_EQ(plain.path, "/a/b=c.ttf");
  EXPECT_EQ(plain.face, 0);
  EXPECT_EQ(FontPath("/fonts", spec), "/fonts/a/b.ttc");
  EXPECT_EQ(FontPath("/fonts", plain), "/a/b=c.ttf");
}

TEST(ParseFontSpecTest, RefusesWhatItCannotRead) {
  for (const char* text : {"", "a.ttf", "=a.ttf", "kai=", "kai=a.ttc@x", "kai=a.ttc@-1"}) {
    EXPECT_THAT(ParseFontSpec(text), StatusIs(absl::StatusCode::kInvalidArgument, text));
  }
}

TEST(FontFaceTest, FilesThatAreNoFontsAreNamed) {
  const std::string path = JoinPath(::testing::TempDir(), "not_a_font.ttf");
  PROTOPAGE_ASSERT_OK(WriteFileAtomically(DefaultFileSystem(), path, "not a font"));
  EXPECT_THAT(FontFace::Open("", {"x", path, 0}), StatusIs(absl::StatusCode::kDataLoss, path));
  EXPECT_THAT(FontFace::Open("/none", {"x", "a.ttf", 0}),
              StatusIs(absl::StatusCode::kNotFound, "/none/a.ttf: no such font file"));
  EXPECT_THAT(FontFace::Open(kFontDir, {"x", "truetype/arphic/ukai.ttc", 99}),
              StatusIs(absl::StatusCode::kDataLoss, "no face 99"));
}

TEST(FontFaceTest, DrawsTheCharacterOne) {
  auto face = OpenFace(kSans);
  ASSERT_NE(face, nullptr);
  EXPECT_TRUE(face->Maps(0x4E00));
  std::vector<uint8_t> ink(32 * 32);
  ASSERT_TRUE(face->Draw(0x4E00, GlyphPlacement(), 32, ink.data()));
  // One horizontal stroke through the centre, and nothing above or below it.
  EXPECT_GT(ink[16 * 32 + 16] + ink[15 * 32 + 16], 255);
  for (int y = 0; y < 32; ++y) {
    if (y >= 12 && y < 20) continue;
    for (int x = 0; x < 32; ++x) ASSERT_EQ(ink[y * 32 + x], 0) << x << " " << y;
  }
}

TEST(FontFaceTest, WhatIsNotDrawnIsBlank) {
  auto face = OpenFace(kSans);
  ASSERT_NE(face, nullptr);
  std::vector<uint8_t> ink(32 * 32, 7);
  // A private code point, a noncharacter, and the ideographic space, which is mapped but empty.
  for (uint32_t code : {0xF8FEu, 0xFFFFu, 0x3000u}) {
    EXPECT_FALSE(face->Draw(code, GlyphPlacement(), 32, ink.data())) << code;
    for (uint8_t p : ink) ASSERT_EQ(p, 0);
  }
}

int64_t Sum(const std::vector<uint8_t>& ink) {
  return std::accumulate(ink.begin(), ink.end(), int64_t{0});
}

TEST(FontFaceTest, PlacementMovesScalesAndThickens) {
  auto face = OpenFace(kKai);
  ASSERT_NE(face, nullptr);
  std::vector<uint8_t> plain(64 * 64), changed(64 * 64);
  GlyphPlacement placement;
  placement.xx = placement.yy = 0.5f;
  ASSERT_TRUE(face->Draw(0x6C38, placement, 64, plain.data()));
  placement.dx = 0.25f;  // 16 pixels to the right: an exact copy.
  ASSERT_TRUE(face->Draw(0x6C38, placement, 64, changed.data()));
  for (int y = 0; y < 64; ++y) {
    for (int x = 16; x < 64; ++x) ASSERT_EQ(changed[y * 64 + x], plain[y * 64 + x - 16]);
  }
  placement.dx = 0;
  placement.embolden = 0.03f;
  ASSERT_TRUE(face->Draw(0x6C38, placement, 64, changed.data()));
  EXPECT_GT(Sum(changed), Sum(plain) * 12 / 10);
  placement.embolden = -0.01f;
  ASSERT_TRUE(face->Draw(0x6C38, placement, 64, changed.data()));
  EXPECT_LT(Sum(changed), Sum(plain));
  placement.embolden = 0;
  placement.xx = placement.yy = 0.25f;  // A quarter of the area.
  ASSERT_TRUE(face->Draw(0x6C38, placement, 64, changed.data()));
  EXPECT_NEAR(static_cast<double>(Sum(changed)), static_cast<double>(Sum(plain)) / 4,
              static_cast<double>(Sum(plain)) / 40);
}

TEST(FontFaceTest, FarOutOfSightIsNoCrash) {
  auto face = OpenFace(kKai);
  ASSERT_NE(face, nullptr);
  std::vector<uint8_t> ink(32 * 32);
  GlyphPlacement placement;
  placement.dx = 1e6f;
  EXPECT_FALSE(face->Draw(0x6C38, placement, 32, ink.data()));
  placement.dx = 0;
  placement.xx = placement.yy = 1e6f;
  face->Draw(0x6C38, placement, 32, ink.data());
}

TEST(FontCorrelationTest, RegionalVariantsAreOneLineageAndDesignsAreNot) {
  auto sans = OpenFace(kSans);
  auto variant = OpenFace(kSansVariant);
  auto bold = OpenFace(kBold);
  auto kai = OpenFace(kKai);
  ASSERT_TRUE(sans != nullptr && variant != nullptr && bold != nullptr && kai != nullptr);
  std::vector<uint32_t> codes;
  for (uint32_t i = 0; i < 40; ++i) codes.push_back(0x4E00 + 97 * i);
  const auto a = FontSignatures(*sans, codes);
  EXPECT_NEAR(FontCorrelation(a, a), 1.0, 1e-5);
  EXPECT_GT(FontCorrelation(a, FontSignatures(*variant, codes)), kSameLineage);
  const double different = FontCorrelation(a, FontSignatures(*kai, codes));
  EXPECT_LT(different, 0.7);
  EXPECT_GT(different, 0.1);
  // A bold weight is nearer than another design, but not near enough to be found by correlation.
  EXPECT_GT(FontCorrelation(a, FontSignatures(*bold, codes)), different);
  EXPECT_EQ(FontCorrelation({}, {}), -1);
}

absl::StatusOr<bool> Example() {
  PROTOPAGE_ASSIGN_OR_RETURN(const FontSpec spec, ParseFontSpec("ukai=arphic/ukai.ttc"));
  PROTOPAGE_ASSIGN_OR_RETURN(auto face, FontFace::Open("/usr/share/fonts/truetype", spec));
  GlyphPlacement placement;  // Upright, centred, the em as large as the image.
  std::vector<uint8_t> ink(32 * 32);
  const bool drawn = face->Draw(0x4E00, placement, 32, ink.data());  // 255 = ink
  return drawn;
}

TEST(FontFaceTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const bool drawn, Example());
  EXPECT_TRUE(drawn);
}

}  // namespace
}  // namespace protopage
