#include "protopage/data/glyphs/glyph_config.h"

namespace protopage {

void GlyphConfig::Fields(ConfigVisitor& v) {
  v.Integer("seed", &seed, {.help = "seed of the choice of classes and of distortions", .min = 0});
  v.Integer("source_classes", &source_classes,
            {.help = "classes with many samples", .min = 0, .max = 100000});
  v.Integer(
      "source_samples", &source_samples,
      {.help = "training images per source class, including the id image", .min = 1, .max = 10000});
  v.Integer("target_classes", &target_classes,
            {.help = "classes with one id image and few spots", .min = 0, .max = 100000});
  v.Integer("target_spots", &target_spots,
            {.help = "training spots per target class", .min = 1, .max = 10000});
  v.Integer("unseen_classes", &unseen_classes,
            {.help = "classes for evaluation only", .min = 0, .max = 100000});
  v.Integer("test_spots", &test_spots,
            {.help = "evaluation spots per class, in held-out fonts", .min = 1, .max = 10000});
  v.Number("distortion", &distortion,
           {.help = "strength of the distortions that make a spot: 0 none, 1 hard to read",
            .min = 0,
            .max = 3});
  v.Text("font_dir", &font_dir, {.help = "folder below which the fonts lie", .is_path = true});
  v.Text("id_font", &id_font, {.help = "the id domain's font, as lineage=path[@face]"});
  v.TextList("train_fonts", &train_fonts, {.help = "fonts of training spots"});
  v.TextList("held_out_fonts", &held_out_fonts,
             {.help = "fonts of evaluation spots, of other lineages than the training fonts"});
  v.Integer("min_lineages", &min_lineages,
            {.help = "training lineages that must draw a character for it to be a class",
             .min = 1,
             .max = 64});
  v.Text("cache_dir", &cache_dir,
         {.help = "where rendered images are kept; empty: $XDG_CACHE_HOME/protopage or "
                  "~/.cache/protopage",
          .is_path = true,
          .safe_to_change = true});
}

}  // namespace protopage
