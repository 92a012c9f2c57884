#include "protopage/data/glyphs/glyph_renderer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "protopage/base/status_matchers.h"
#include "protopage/data/glyphs/glyph_config.h"

namespace protopage {
namespace {

class GlyphRendererTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const GlyphConfig config;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const FontSpec spec, ParseFontSpec(config.id_font));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(face_, FontFace::Open(config.font_dir, spec));
  }

  Image Spot(float strength, uint32_t image, int size = 32, uint32_t code = 0x6C38) {
    Image out;
    RandomStream random(1, RandomPurpose::kRender, code, image);
    EXPECT_TRUE(DrawSpot(*face_, code, size, strength, random, &out));
    return out;
  }

  std::unique_ptr<FontFace> face_;
};

TEST_F(GlyphRendererTest, IdIsBlackOnWhiteAndInside) {
  Image image;
  ASSERT_TRUE(DrawId(*face_, 0x6C38, 32, &image));
  EXPECT_EQ(image.channels, 1);
  int dark = 0;
  for (uint8_t p : image.pixels) dark += p < 64;
  EXPECT_GT(dark, 100);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(image.pixels[i], 255);
    EXPECT_EQ(image.pixels[31 * 32 + i], 255);
  }
}

TEST_F(GlyphRendererTest, WithoutStrengthASpotIsTheId) {
  Image id;
  ASSERT_TRUE(DrawId(*face_, 0x6C38, 32, &id));
  EXPECT_EQ(Spot(0, 5).pixels, id.pixels);
}

TEST_F(GlyphRendererTest, SpotsAreFunctionsOfTheirStream) {
  EXPECT_EQ(Spot(1, 5).pixels, Spot(1, 5).pixels);
  EXPECT_NE(Spot(1, 5).pixels, Spot(1, 6).pixels);
}

TEST_F(GlyphRendererTest, EveryStrengthAndSizeIsDrawn) {
  for (int size : {8, 20, 32, 65}) {
    for (float strength : {0.3f, 1.0f, 3.0f}) {
      for (uint32_t image = 0; image < 20; ++image) {
        ASSERT_EQ(Spot(strength, image, size).bytes(), int64_t{size} * size);
      }
    }
  }
}

TEST_F(GlyphRendererTest, CharactersThatAreNotDrawnAreReported) {
  Image image;
  EXPECT_FALSE(DrawId(*face_, 0x3000, 32, &image));
  RandomStream random(1, RandomPurpose::kRender, 0, 0);
  EXPECT_FALSE(DrawSpot(*face_, 0xFFFF, 32, 1.0f, random, &image));
}

TEST_F(GlyphRendererTest, TheExampleOfTheHeader) {
  const uint64_t seed = 1;
  const uint32_t i = 2;
  const std::unique_ptr<FontFace>& face = face_;
  Image image;
  DrawId(*face, 0x4E00, 32, &image);
  RandomStream random(seed, RandomPurpose::kRender, 0x4E00, i);
  DrawSpot(*face, 0x4E00, 32, /*strength=*/1.0f, random, &image);
  EXPECT_EQ(image.bytes(), 32 * 32);
}

}  // namespace
}  // namespace protopage
