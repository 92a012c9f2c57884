#include "protopage/data/glyphs/glyph_classes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/data/glyphs/glyph_renderer.h"
#include "protopage/data/glyphs/han_characters.h"

namespace protopage {
namespace {

GlyphConfig SmallConfig() {
  GlyphConfig config;
  config.source_classes = 6;
  config.unseen_classes = 7;
  config.target_classes = 40;
  return config;
}

std::vector<uint32_t> Codes(const std::vector<GlyphClass>& classes) {
  std::vector<uint32_t> codes;
  for (const GlyphClass& c : classes) codes.push_back(c.code);
  return codes;
}

TEST(GlyphClassesTest, SetsAreDisjointCanonicalAndDrawn) {
  const GlyphConfig config = SmallConfig();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets sets,
                                 ChooseGlyphClasses(config, fonts, &pool, {}));
  EXPECT_EQ(sets.source.size(), 6u);
  EXPECT_EQ(sets.unseen.size(), 7u);
  EXPECT_EQ(sets.target.size(), 40u);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(GlyphFaces faces, OpenGlyphFaces(fonts));
  std::set<uint32_t> seen;
  std::set<std::vector<uint8_t>> rasters;
  for (const auto* set : {&sets.source, &sets.unseen, &sets.target}) {
    for (const GlyphClass& c : *set) {
      EXPECT_TRUE(seen.insert(CanonicalHan(c.code)).second) << CodePointName(c.code);
      std::set<std::string> training;
      int held_out = 0;
      Image image;
      for (size_t f = 0; f < fonts.fonts.size(); ++f) {
        if ((c.fonts >> f & 1) == 0) continue;
        EXPECT_TRUE(DrawId(*faces[f], c.code, 32, &image));
        if (fonts.HeldOut(static_cast<int>(f))) ++held_out;
        if (f > 0 && !fonts.HeldOut(static_cast<int>(f))) training.insert(fonts.fonts[f].lineage);
      }
      EXPECT_EQ(c.fonts & 1, 1u);
      EXPECT_GE(training.size(), 3u);
      EXPECT_GE(held_out, 1);
      ASSERT_TRUE(DrawId(*faces[0], c.code, 32, &image));
      EXPECT_TRUE(rasters.insert(image.pixels).second) << CodePointName(c.code);
    }
  }
}

TEST(GlyphClassesTest, ThreadsDoNotMatterAndTheSeedDoes) {
  GlyphConfig config = SmallConfig();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  ThreadPool one(1);
  ThreadPool three(3);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets a,
                                 ChooseGlyphClasses(config, fonts, &one, {}));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets b,
                                 ChooseGlyphClasses(config, fonts, &three, {}));
  EXPECT_EQ(Codes(a.source), Codes(b.source));
  EXPECT_EQ(Codes(a.unseen), Codes(b.unseen));
  EXPECT_EQ(Codes(a.target), Codes(b.target));
  config.seed = 2;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets c,
                                 ChooseGlyphClasses(config, fonts, &one, {}));
  EXPECT_NE(Codes(a.target), Codes(c.target));
}

TEST(GlyphClassesTest, MoreTargetsLeaveTheOtherSetsAsTheyAre) {
  GlyphConfig config = SmallConfig();
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  ThreadPool pool(2);
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets few,
                                 ChooseGlyphClasses(config, fonts, &pool, {}));
  config.target_classes = 100;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphClassSets many,
                                 ChooseGlyphClasses(config, fonts, &pool, {}));
  EXPECT_EQ(Codes(few.source), Codes(many.source));
  EXPECT_EQ(Codes(few.unseen), Codes(many.unseen));
  std::vector<uint32_t> first = Codes(many.target);
  first.resize(few.target.size());
  EXPECT_EQ(Codes(few.target), first);
}

TEST(GlyphClassesTest, ADerivedFontIsNotHeldOutWhateverItIsCalled) {
  GlyphConfig config = SmallConfig();
  config.held_out_fonts = {"another=opentype/noto/NotoSerifCJK-Bold.ttc@0"};
  config.train_fonts = {"noto_serif=opentype/noto/NotoSerifCJK-Bold.ttc@2"};
  config.min_lineages = 1;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  ThreadPool pool(2);
  EXPECT_THAT(ChooseGlyphClasses(config, fonts, &pool, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "draws like"));
}

TEST(GlyphClassesTest, MoreClassesThanTheFontsDrawIsAnError) {
  GlyphConfig config = SmallConfig();
  // No character is drawn by this many lineages.
  config.min_lineages = 30;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  ThreadPool pool(1);
  EXPECT_THAT(ChooseGlyphClasses(config, fonts, &pool, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "these fonts draw 0 usable"));
}

TEST(GlyphFontsTest, MissingFontsNameTheirPackages) {
  GlyphConfig config;
  config.font_dir = "/none";
  EXPECT_THAT(
      ResolveGlyphFonts(config),
      StatusIs(absl::StatusCode::kNotFound,
               "13 of 13 fonts missing, first /none/opentype/noto/NotoSansCJK-Regular.ttc; on "
               "Debian: apt-get install fonts-arphic-ukai fonts-arphic-uming"));
  config = GlyphConfig();
  config.held_out_fonts = {"mine=my/font.ttf"};
  EXPECT_THAT(ResolveGlyphFonts(config),
              StatusIs(absl::StatusCode::kNotFound,
                       "1 of 12 fonts missing, first /usr/share/fonts/my/font.ttf"));
}

TEST(GlyphFontsTest, WrongListsAreRefused) {
  GlyphConfig config;
  config.held_out_fonts = {};
  EXPECT_THAT(ResolveGlyphFonts(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "held_out_fonts"));
  config = GlyphConfig();
  config.train_fonts.push_back("nonsense");
  EXPECT_THAT(ResolveGlyphFonts(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "data.glyphs.train_fonts: font"));
  config = GlyphConfig();
  config.held_out_fonts.push_back("seto=truetype/seto/setofont-ex.ttf");
  EXPECT_THAT(ResolveGlyphFonts(config),
              StatusIs(absl::StatusCode::kInvalidArgument, "lineage \"seto\" is among"));
}

absl::StatusOr<size_t> Example(const GlyphConfig& config) {
  ThreadPool pool(2);
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  PROTOPAGE_ASSIGN_OR_RETURN(const auto sets, ChooseGlyphClasses(config, fonts, &pool, {}));
  return sets.target.size();
}

TEST(GlyphClassesTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const size_t classes, Example(SmallConfig()));
  EXPECT_EQ(classes, 40u);
}

}  // namespace
}  // namespace protopage
