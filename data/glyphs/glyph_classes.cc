#include "protopage/data/glyphs/glyph_classes.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/glyphs/glyph_renderer.h"
#include "protopage/data/glyphs/han_characters.h"

namespace protopage {
namespace {

// Glyphs are compared as rasters of this size.
constexpr int kScanSize = 32;
constexpr int kScanPixels = kScanSize * kScanSize;
// Two id glyphs are nearly equal when they differ by less than this share of their ink. Of the
// 29,880 characters of the default id font, 12 pairs do not differ at all, and no pair differs by
// up to 0.038; the pairs above are different characters, some of whose strokes are a little longer.
constexpr double kNearlyEqual = 0.03;
constexpr int kMaxFonts = 64;

// The Debian packages of the default fonts.
constexpr struct {
  const char* path;
  const char* package;
} kPackages[] = {
    {"/noto/Noto", "fonts-noto-cjk"},
    {"/arphic/uming", "fonts-arphic-uming"},
    {"/arphic/ukai", "fonts-arphic-ukai"},
    {"/lxgw-wenkai/", "fonts-lxgw-wenkai"},
    {"/wqy/wqy-zenhei", "fonts-wqy-zenhei"},
    {"/droid/", "fonts-droid-fallback"},
    {"/seto/", "fonts-seto"},
    {"/kouzan-mouhitsu/", "fonts-kouzan-mouhitsu"},
    {"/ipamj/", "fonts-ipamj-mincho"},
    {"/cns11643/TW-Kai", "fonts-cns11643-kai"},
    {"/cns11643/TW-Sung", "fonts-cns11643-sung"},
    {"/hanazono/", "fonts-hanazono"},
};

int CountLineages(const GlyphFonts& fonts, uint64_t mask, int begin, int end) {
  std::set<absl::string_view> lineages;
  for (int f = begin; f < end; ++f) {
    if ((mask >> f & 1) != 0) lineages.insert(fonts.fonts[f].lineage);
  }
  return static_cast<int>(lineages.size());
}

bool Usable(const GlyphConfig& config, const GlyphFonts& fonts, uint64_t mask) {
  const int count = static_cast<int>(fonts.fonts.size());
  return (mask & 1) != 0 &&
         CountLineages(fonts, mask, 1, fonts.first_held_out) >= config.min_lineages &&
         CountLineages(fonts, mask, fonts.first_held_out, count) >= 1;
}

struct Candidate {
  uint32_t code = 0;
  std::vector<uint64_t> hash;   // Of the raster in each font; 0 when the font draws nothing.
  std::vector<uint8_t> raster;  // In the id font.
  int64_t ink = 0;              // The sum of the raster.
};

absl::Status CheckLineages(const GlyphFonts& fonts, GlyphFaces& faces,
                           const std::vector<uint32_t>& codes) {
  std::vector<std::vector<std::vector<float>>> signatures;
  for (auto& face : faces) signatures.push_back(FontSignatures(*face, codes));
  for (size_t h = fonts.first_held_out; h < faces.size(); ++h) {
    for (int t = 0; t < fonts.first_held_out; ++t) {
      const double correlation = FontCorrelation(signatures[h], signatures[t]);
      if (correlation >= kSameLineage) {
        return absl::InvalidArgumentError(
            absl::StrCat("data.glyphs.held_out_fonts: ", fonts.fonts[h].path, " draws like ",
                         fonts.fonts[t].path, " (median correlation ", correlation, ", at least ",
                         kSameLineage, " is one design), so it would not be held out"));
      }
    }
  }
  return absl::OkStatus();
}

// Clears from each mask the fonts whose glyph for the character coincides with that for another
// one.
std::vector<uint64_t> FontMasks(const std::vector<Candidate>& candidates, int num_fonts) {
  std::vector<uint64_t> masks(candidates.size(), 0);
  for (int f = 0; f < num_fonts; ++f) {
    absl::flat_hash_map<uint64_t, int> count;
    for (const Candidate& c : candidates) ++count[c.hash[f]];
    for (size_t i = 0; i < candidates.size(); ++i) {
      const uint64_t hash = candidates[i].hash[f];
      // Coincidences in the id font are resolved by NearlyEqual, which keeps the first character.
      if (hash != 0 && (f == 0 || count[hash] == 1)) masks[i] |= uint64_t{1} << f;
    }
  }
  return masks;
}

// Marks each candidate whose id raster nearly equals that of an earlier one.
std::vector<bool> FindNearlyEqual(const std::vector<Candidate>& candidates) {
  std::vector<int> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    return std::make_pair(candidates[a].ink, a) < std::make_pair(candidates[b].ink, b);
  });
  std::vector<bool> drop(candidates.size(), false);
  for (size_t i = 0; i < order.size(); ++i) {
    const Candidate& a = candidates[order[i]];
    if (a.ink == 0) continue;
    const int64_t limit = static_cast<int64_t>(kNearlyEqual * static_cast<double>(a.ink));
    // The sums differ by at most as much as the rasters.
    for (size_t j = i + 1; j < order.size() && candidates[order[j]].ink - a.ink <= limit; ++j) {
      const Candidate& b = candidates[order[j]];
      int64_t difference = 0;
      for (int p = 0; p < kScanPixels; p += kScanSize) {
        int row = 0;
        for (int k = 0; k < kScanSize; ++k) row += std::abs(a.raster[p + k] - b.raster[p + k]);
        difference += row;
        if (difference > limit) break;
      }
      if (difference <= limit) drop[std::max(order[i], order[j])] = true;
    }
  }
  return drop;
}

}  // namespace

absl::StatusOr<GlyphFonts> ResolveGlyphFonts(const GlyphConfig& config) {
  GlyphFonts fonts;
  fonts.font_dir = config.font_dir;
  auto add = [&](absl::string_view key, const std::string& text) -> absl::Status {
    absl::StatusOr<FontSpec> spec = ParseFontSpec(text);
    if (!spec.ok()) return WithContext(spec.status(), absl::StrCat("data.glyphs.", key));
    fonts.fonts.push_back(*std::move(spec));
    return absl::OkStatus();
  };
  if (config.train_fonts.empty() || config.held_out_fonts.empty()) {
    return absl::InvalidArgumentError(
        "data.glyphs.train_fonts and held_out_fonts must name a font each at least");
  }
  PROTOPAGE_RETURN_IF_ERROR(add("id_font", config.id_font));
  for (const std::string& text : config.train_fonts)
    PROTOPAGE_RETURN_IF_ERROR(add("train_fonts", text));
  fonts.first_held_out = static_cast<int>(fonts.fonts.size());
  for (const std::string& text : config.held_out_fonts) {
    PROTOPAGE_RETURN_IF_ERROR(add("held_out_fonts", text));
  }
  if (fonts.fonts.size() > kMaxFonts) {
    return absl::InvalidArgumentError(absl::StrCat("data.glyphs: ", fonts.fonts.size(),
                                                   " fonts, at most ", kMaxFonts, " are allowed"));
  }
  for (size_t h = fonts.first_held_out; h < fonts.fonts.size(); ++h) {
    for (int t = 0; t < fonts.first_held_out; ++t) {
      if (fonts.fonts[h].lineage == fonts.fonts[t].lineage) {
        return absl::InvalidArgumentError(absl::StrCat("data.glyphs.held_out_fonts: lineage \"",
                                                       fonts.fonts[h].lineage,
                                                       "\" is among the training fonts too"));
      }
    }
  }
  std::vector<std::string> missing;
  std::set<std::string> packages;
  for (const FontSpec& spec : fonts.fonts) {
    const std::string path = FontPath(config.font_dir, spec);
    if (DefaultFileSystem()->Exists(path)) continue;
    missing.push_back(path);
    for (const auto& entry : kPackages) {
      if (absl::StrContains(path, entry.path)) packages.insert(entry.package);
    }
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "data.glyphs: ", missing.size(), " of ", fonts.fonts.size(), " fonts missing, first ",
        missing[0],
        packages.empty()
            ? ""
            : absl::StrCat("; on Debian: apt-get install ", absl::StrJoin(packages, " "))));
  }
  return fonts;
}

absl::StatusOr<GlyphFaces> OpenGlyphFaces(const GlyphFonts& fonts) {
  GlyphFaces faces;
  for (const FontSpec& spec : fonts.fonts) {
    PROTOPAGE_ASSIGN_OR_RETURN(auto face, FontFace::Open(fonts.font_dir, spec));
    faces.push_back(std::move(face));
  }
  return faces;
}

absl::StatusOr<GlyphClassSets> ChooseGlyphClasses(const GlyphConfig& config,
                                                  const GlyphFonts& fonts, ThreadPool* pool,
                                                  const GlyphProgress& progress) {
  const int num_fonts = static_cast<int>(fonts.fonts.size());
  std::vector<GlyphFaces> faces(pool->num_threads());
  for (GlyphFaces& set : faces) {
    PROTOPAGE_ASSIGN_OR_RETURN(set, OpenGlyphFaces(fonts));
  }

  // The characters in the tables of the fonts, in the order of the hash.
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (uint32_t code : HanCodePoints()) {
    if (CanonicalHan(code) != code) continue;
    uint64_t mask = 0;
    for (int f = 0; f < num_fonts; ++f) {
      if (faces[0][f]->Maps(code)) mask |= uint64_t{1} << f;
    }
    if (!Usable(config, fonts, mask)) continue;
    RandomStream random(static_cast<uint64_t>(config.seed), RandomPurpose::kSplit, code);
    order.emplace_back(random.Next64(), code);
  }
  std::sort(order.begin(), order.end());

  std::vector<uint32_t> sample;
  for (size_t i = 0; i < order.size() && i < 64; ++i) sample.push_back(order[i].second);
  PROTOPAGE_RETURN_IF_ERROR(CheckLineages(fonts, faces[0], sample));

  // The characters that the fonts draw: more candidates are examined until enough are usable.
  const int64_t wanted = config.source_classes + config.unseen_classes + config.target_classes;
  std::vector<Candidate> candidates;
  std::vector<GlyphClass> usable;
  while (static_cast<int64_t>(usable.size()) < wanted && candidates.size() < order.size()) {
    const size_t begin = candidates.size();
    const size_t more = static_cast<size_t>(wanted - usable.size());
    const size_t end = std::min(order.size(), begin + more + more / 16 + 64);
    candidates.resize(end);
    constexpr size_t kReport = 1024;
    for (size_t chunk = begin; chunk < end; chunk += kReport) {
      if (progress) progress("reading fonts", chunk, end);
      const size_t chunk_end = std::min(end, chunk + kReport);
      pool->ParallelForThread(chunk_end - chunk, [&](int64_t task, int thread) {
        Candidate& c = candidates[chunk + task];
        c.code = order[chunk + task].second;
        c.hash.assign(num_fonts, 0);
        Image image;
        for (int f = 0; f < num_fonts; ++f) {
          if (!DrawId(*faces[thread][f], c.code, kScanSize, &image)) continue;
          c.hash[f] = std::max<uint64_t>(1, XXH3_64bits(image.pixels.data(), kScanPixels));
          if (f > 0) continue;
          for (uint8_t p : image.pixels) c.ink += 255 - p;
          c.raster = image.pixels;
        }
      });
    }
    const std::vector<uint64_t> masks = FontMasks(candidates, num_fonts);
    const std::vector<bool> drop = FindNearlyEqual(candidates);
    usable.clear();
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!drop[i] && Usable(config, fonts, masks[i])) {
        usable.push_back({candidates[i].code, masks[i]});
      }
    }
  }
  if (static_cast<int64_t>(usable.size()) < wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data.glyphs: ", config.source_classes, " source + ", config.unseen_classes, " unseen + ",
        config.target_classes, " target classes are wanted; these fonts draw ", usable.size(),
        " usable characters"));
  }
  GlyphClassSets sets;
  auto next = usable.begin();
  auto take = [&](int64_t count, std::vector<GlyphClass>* set) {
    set->assign(next, next + count);
    next += count;
  };
  take(config.source_classes, &sets.source);
  take(config.unseen_classes, &sets.unseen);
  take(config.target_classes, &sets.target);
  return sets;
}

}  // namespace protopage
