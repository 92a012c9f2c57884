// The "data.glyphs" object of a config: see data/glyphs/glyph_source.h.
#ifndef PROTOPAGE_DATA_GLYPHS_GLYPH_CONFIG_H_
#define PROTOPAGE_DATA_GLYPHS_GLYPH_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "protopage/base/config_fields.h"

namespace protopage {

struct GlyphConfig {
  int64_t seed = 1;
  int64_t source_classes = 1000;
  int64_t source_samples = 12;  // Training images per source class, including the id image.
  int64_t target_classes = 4000;
  int64_t target_spots = 4;  // Training spots per target class, in addition to one id image.
  int64_t unseen_classes = 1000;
  int64_t test_spots = 2;   // Evaluation spots per class, for every set of classes.
  double distortion = 0.5;  // Strength of the distortions of a spot, 0 = none.
  // Fonts as lineage=path[@face], with paths below font_dir. All fonts of a lineage (weights of a
  // family, derived designs) are training fonts, or all are held out.
  std::string font_dir = "/usr/share/fonts";
  std::string id_font = "noto_sans=opentype/noto/NotoSansCJK-Regular.ttc@2";
  std::vector<std::string> train_fonts = {
      "noto_serif=opentype/noto/NotoSerifCJK-Regular.ttc@2",
      "noto_serif=opentype/noto/NotoSerifCJK-Bold.ttc@2",
      "uming=truetype/arphic/uming.ttc",
      "wenkai=truetype/lxgw-wenkai/LXGWWenKai-Light.ttf",
      "wenkai=truetype/lxgw-wenkai/LXGWWenKai-Regular.ttf",
      "wenkai=truetype/lxgw-wenkai/LXGWWenKai-Bold.ttf",
      "zenhei=truetype/wqy/wqy-zenhei.ttc",
      "droid=truetype/droid/DroidSansFallbackFull.ttf",
      "seto=truetype/seto/setofont.ttf",
      "kouzan=truetype/kouzan-mouhitsu/kouzan-mouhitsu.ttf",
  };
  std::vector<std::string> held_out_fonts = {
      "ukai=truetype/arphic/ukai.ttc",
      "ipamj=truetype/ipamj/ipamjm.ttf",
  };
  // A character is a class when the id font, at least this many training lineages and one held-out
  // lineage draw it.
  int64_t min_lineages = 3;
  std::string cache_dir;  // "": $XDG_CACHE_HOME/protopage, or ~/.cache/protopage.

  void Fields(ConfigVisitor& v);
};

}  // namespace protopage

#endif  // PROTOPAGE_DATA_GLYPHS_GLYPH_CONFIG_H_
