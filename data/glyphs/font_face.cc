#include "protopage/data/glyphs/font_face.h"

#include <ft2build.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include FT_FREETYPE_H
#include FT_OUTLINE_H

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "protopage/base/file.h"

namespace protopage {
namespace {

constexpr int kCompareSize = 32;

// The raster of the outline that fills the square, blurred by 3x3, with zero mean and unit norm;
// empty when the character is not drawn.
std::vector<float> Signature(FontFace& face, uint32_t code) {
  constexpr int n = kCompareSize;
  std::vector<uint8_t> ink(n * n);
  GlyphPlacement placement;
  placement.fill = true;
  if (!face.Draw(code, placement, n, ink.data())) return {};
  std::vector<float> blurred(n * n);
  double mean = 0;
  for (int y = 0; y < n; ++y) {
    for (int x = 0; x < n; ++x) {
      int sum = 0;
      for (int v = std::max(0, y - 1); v <= std::min(n - 1, y + 1); ++v) {
        for (int u = std::max(0, x - 1); u <= std::min(n - 1, x + 1); ++u) sum += ink[v * n + u];
      }
      blurred[y * n + x] = static_cast<float>(sum);
      mean += sum;
    }
  }
  mean /= n * n;
  double norm = 1e-9;
  for (float& v : blurred) {
    v -= static_cast<float>(mean);
    norm += static_cast<double>(v) * v;
  }
  for (float& v : blurred) v = static_cast<float>(v / std::sqrt(norm));
  return blurred;
}

}  // namespace

absl::StatusOr<FontSpec> ParseFontSpec(absl::string_view text) {
  FontSpec spec;
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("font \"", text, "\": expected lineage=path or lineage=path@face"));
  }
  spec.lineage = parts[0];
  spec.path = parts[1];
  const size_t at = spec.path.rfind('@');
  if (at != std::string::npos) {
    if (!absl::SimpleAtoi(spec.path.substr(at + 1), &spec.face) || spec.face < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("font \"", text, "\": the text after @ is not a face number"));
    }
    spec.path.resize(at);
  }
  return spec;
}

std::string FontPath(const std::string& font_dir, const FontSpec& spec) {
  return absl::StartsWith(spec.path, "/") ? spec.path : JoinPath(font_dir, spec.path);
}

struct FontFace::Handles {
  FT_Library library = nullptr;
  FT_Face face = nullptr;

  ~Handles() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }

  // Draws a glyph by its number. Returns false when it has no outline or no ink.
  bool Draw(uint32_t glyph, const GlyphPlacement& placement, int size, uint8_t* ink);
};

FontFace::FontFace(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
FontFace::~FontFace() = default;

absl::StatusOr<std::unique_ptr<FontFace>> FontFace::Open(const std::string& font_dir,
                                                         const FontSpec& spec) {
  const std::string path = FontPath(font_dir, spec);
  if (!DefaultFileSystem()->Exists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such font file"));
  }
  auto handles = std::make_unique<Handles>();
  if (FT_Init_FreeType(&handles->library) != 0) {
    return absl::InternalError("FreeType does not start");
  }
  const int error = FT_New_Face(handles->library, path.c_str(), spec.face, &handles->face);
  if (error != 0) {
    return absl::DataLossError(
        absl::StrCat(path, ": FreeType finds no face ", spec.face, " (error ", error, ")"));
  }
  if (!FT_IS_SCALABLE(handles->face) ||
      FT_Select_Charmap(handles->face, FT_ENCODING_UNICODE) != 0) {
    return absl::DataLossError(
        absl::StrCat(path, ": face ", spec.face, " has no outlines or no Unicode map"));
  }
  auto face = std::unique_ptr<FontFace>(new FontFace(std::move(handles)));
  face->missing_.resize(kCompareSize * kCompareSize);
  GlyphPlacement placement;
  if (!face->handles_->Draw(0, placement, kCompareSize, face->missing_.data())) {
    face->missing_.clear();
  }
  return face;
}

bool FontFace::Maps(uint32_t code) const { return FT_Get_Char_Index(handles_->face, code) != 0; }

bool FontFace::Handles::Draw(uint32_t glyph, const GlyphPlacement& placement, int size,
                             uint8_t* ink) {
  std::memset(ink, 0, static_cast<size_t>(size) * size);
  if (FT_Load_Glyph(face, glyph, FT_LOAD_NO_SCALE) != 0) return false;
  if (face->glyph->format != FT_GLYPH_FORMAT_OUTLINE) return false;
  FT_Outline& outline = face->glyph->outline;
  if (outline.n_points < 3) return false;
  FT_BBox box;
  FT_Outline_Get_CBox(&outline, &box);
  float scale_x = 1.0f / static_cast<float>(face->units_per_EM);
  float scale_y = scale_x;
  if (placement.fill) {
    scale_x = 1.0f / static_cast<float>(std::max<FT_Pos>(1, box.xMax - box.xMin));
    scale_y = 1.0f / static_cast<float>(std::max<FT_Pos>(1, box.yMax - box.yMin));
  }
  const float centre_x = 0.5f * static_cast<float>(box.xMin + box.xMax);
  const float centre_y = 0.5f * static_cast<float>(box.yMin + box.yMax);
  const float unit = 64.0f * static_cast<float>(size);  // FreeType uses units of 1/64 pixel.
  const float* bend = placement.bend;
  for (int i = 0; i < outline.n_points; ++i) {
    const float x = (static_cast<float>(outline.points[i].x) - centre_x) * scale_x;
    const float y = (static_cast<float>(outline.points[i].y) - centre_y) * scale_y;
    const float u = x + bend[0] * y * y + bend[1] * x * y + bend[2] * x * x;
    const float v = y + bend[3] * x * x + bend[4] * x * y + bend[5] * y * y;
    const float px = placement.xx * u + placement.xy * v + placement.dx + 0.5f;
    const float py = placement.yx * u + placement.yy * v + placement.dy + 0.5f;
    // FreeType's rasterizer takes coordinates of less than 2^15 pixels.
    outline.points[i].x = std::lround(std::clamp(px, -8.0f, 8.0f) * unit);
    outline.points[i].y = std::lround(std::clamp(py, -8.0f, 8.0f) * unit);
  }
  const FT_Pos strength = std::lround(placement.embolden * unit);
  if (strength != 0) {
    // The outline grows to the right and upwards, so it is moved back by half.
    FT_Outline_Embolden(&outline, strength);
    FT_Outline_Translate(&outline, -strength / 2, -strength / 2);
  }
  FT_Bitmap bitmap = {};
  bitmap.rows = static_cast<unsigned>(size);
  bitmap.width = static_cast<unsigned>(size);
  bitmap.pitch = size;
  bitmap.buffer = ink;
  bitmap.num_grays = 256;
  bitmap.pixel_mode = FT_PIXEL_MODE_GRAY;
  if (FT_Outline_Get_Bitmap(library, &outline, &bitmap) != 0) {
    std::memset(ink, 0, static_cast<size_t>(size) * size);
    return false;
  }
  return std::any_of(ink, ink + size * size, [](uint8_t v) { return v > 0; });
}

bool FontFace::Draw(uint32_t code, const GlyphPlacement& placement, int size, uint8_t* ink) {
  const uint32_t glyph = FT_Get_Char_Index(handles_->face, code);
  if (glyph == 0) {
    std::memset(ink, 0, static_cast<size_t>(size) * size);
    return false;
  }
  if (!missing_.empty()) {
    // Some fonts map thousands of characters to copies of the glyph for missing ones.
    uint8_t plain[kCompareSize * kCompareSize];
    GlyphPlacement upright;
    if (handles_->Draw(glyph, upright, kCompareSize, plain) &&
        std::memcmp(plain, missing_.data(), missing_.size()) == 0) {
      std::memset(ink, 0, static_cast<size_t>(size) * size);
      return false;
    }
  }
  return handles_->Draw(glyph, placement, size, ink);
}

std::vector<std::vector<float>> FontSignatures(FontFace& face, const std::vector<uint32_t>& codes) {
  std::vector<std::vector<float>> signatures;
  signatures.reserve(codes.size());
  for (uint32_t code : codes) signatures.push_back(Signature(face, code));
  return signatures;
}

double FontCorrelation(const std::vector<std::vector<float>>& a,
                       const std::vector<std::vector<float>>& b) {
  std::vector<double> all;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].empty() || b[i].empty()) continue;
    double dot = 0;
    for (size_t k = 0; k < a[i].size(); ++k) dot += static_cast<double>(a[i][k]) * b[i][k];
    all.push_back(dot);
  }
  if (all.size() < 8) return -1;
  std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
  return all[all.size() / 2];
}

}  // namespace protopage
