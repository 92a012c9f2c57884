#include "protopage/data/glyphs/glyph_renderer.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace protopage {
namespace {

// Glyphs fill about 0.9 of their em; this leaves a margin of a twentieth of the image.
constexpr float kScale = 0.97f;

// The ink of two drawings on top of each other.
void Combine(const std::vector<uint8_t>& more, std::vector<uint8_t>* ink) {
  for (size_t i = 0; i < ink->size(); ++i) (*ink)[i] = std::max((*ink)[i], more[i]);
}

// Parts of the characters before and after, in a line of text in the same font.
void AddNeighbours(FontFace& face, const GlyphPlacement& placement, int size, float strength,
                   RandomStream& random, std::vector<uint8_t>* ink) {
  std::vector<uint8_t> neighbour(ink->size());
  const bool vertical = random.Below(2) == 1;
  for (int side = -1; side <= 1; side += 2) {
    // All numbers are drawn, used or not, so that one side does not depend on the other.
    const bool wanted = random.Uniform() < 0.35f * strength;
    const uint32_t code = 0x4E00 + static_cast<uint32_t>(random.Below(0x5200));
    const float distance = random.Uniform(0.86f, 1.1f) * static_cast<float>(side);
    if (!wanted || !face.Maps(code)) continue;
    GlyphPlacement shifted = placement;
    shifted.dx += (vertical ? placement.xy : placement.xx) * distance;
    shifted.dy += (vertical ? placement.yy : placement.yx) * distance;
    if (face.Draw(code, shifted, size, neighbour.data())) Combine(neighbour, ink);
  }
}

// A straight stroke across the image, like a line of a form or of a pen.
void AddStroke(int size, RandomStream& random, std::vector<uint8_t>* ink) {
  const float n = static_cast<float>(size);
  const float x0 = random.Uniform(0, n);
  const float y0 = random.Uniform(0, n);
  const float slope = random.Uniform(-0.4f, 0.4f);
  const bool steep = random.Below(2) == 1;
  const float half = random.Uniform(0.012f, 0.035f) * n;
  const float darkness = random.Uniform(100, 255);
  // The distance from the line is |v - v0 - slope (u - u0)| / sqrt(1 + slope^2).
  const float cosine = 1.0f / std::sqrt(1.0f + slope * slope);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const float u = (static_cast<float>(steep ? y : x) + 0.5f) - (steep ? y0 : x0);
      const float v = (static_cast<float>(steep ? x : y) + 0.5f) - (steep ? x0 : y0);
      const float distance = std::fabs(v - slope * u) * cosine;
      const float cover = std::clamp(half + 0.5f - distance, 0.0f, 1.0f);
      uint8_t& p = (*ink)[y * size + x];
      p = std::max(p, static_cast<uint8_t>(cover * darkness));
    }
  }
}

// Paper over a corner or an edge of the character, or a blot.
void AddPatch(int size, RandomStream& random, std::vector<uint8_t>* ink) {
  const int width = static_cast<int>(random.Uniform(0.12f, 0.3f) * static_cast<float>(size));
  const int height = static_cast<int>(random.Uniform(0.12f, 0.3f) * static_cast<float>(size));
  const int left = static_cast<int>(random.Below(size - width + 1));
  const int top = static_cast<int>(random.Below(size - height + 1));
  const uint8_t value = static_cast<uint8_t>(random.Below(2) == 1 ? 0 : 40 + random.Below(160));
  for (int y = top; y < top + height; ++y) {
    std::fill_n(ink->begin() + y * size + left, width, value);
  }
}

// Convolves with [a, 1 - 2a, a] in both directions, `passes` times; weights in 1/256.
void Blur(int size, int a, int passes, std::vector<uint8_t>* ink) {
  std::vector<uint8_t> line(size);
  for (int pass = 0; pass < 2 * passes; ++pass) {
    const int step = pass % 2 == 0 ? 1 : size;
    const int stride = pass % 2 == 0 ? size : 1;
    for (int l = 0; l < size; ++l) {
      uint8_t* p = ink->data() + l * stride;
      for (int i = 0; i < size; ++i) line[i] = p[i * step];
      for (int i = 0; i < size; ++i) {
        const int before = line[std::max(0, i - 1)];
        const int behind = line[std::min(size - 1, i + 1)];
        p[i * step] =
            static_cast<uint8_t>((a * (before + behind) + (256 - 2 * a) * line[i] + 128) >> 8);
      }
    }
  }
}

}  // namespace

bool DrawId(FontFace& face, uint32_t code, int size, Image* image) {
  image->Reset(size, size, 1);
  GlyphPlacement placement;
  placement.xx = placement.yy = kScale;
  const bool drawn = face.Draw(code, placement, size, image->pixels.data());
  for (uint8_t& p : image->pixels) p = static_cast<uint8_t>(255 - p);
  return drawn;
}

bool DrawSpot(FontFace& face, uint32_t code, int size, float strength, RandomStream& random,
              Image* image) {
  const float s = strength;
  GlyphPlacement placement;
  // Rotation by a (sin a = t, small), scale, shear, shift.
  const float t = random.Uniform(-0.2f, 0.2f) * s;
  const float cosine = std::sqrt(std::max(0.0f, 1.0f - t * t));
  const float scale = kScale * (1.0f - s * random.Uniform(0.0f, 0.22f));
  const float scale_x = scale * (1.0f + s * random.Uniform(-0.1f, 0.1f));
  const float scale_y = scale * (1.0f + s * random.Uniform(-0.1f, 0.1f));
  const float shear = random.Uniform(-0.18f, 0.18f) * s;
  placement.xx = cosine * scale_x;
  placement.xy = (cosine * shear - t) * scale_y;
  placement.yx = t * scale_x;
  placement.yy = (t * shear + cosine) * scale_y;
  placement.dx = random.Uniform(-0.07f, 0.07f) * s;
  placement.dy = random.Uniform(-0.07f, 0.07f) * s;
  for (float& b : placement.bend) b = random.Uniform(-0.14f, 0.14f) * s;
  placement.embolden = random.Uniform(-0.018f, 0.045f) * s;

  const size_t count = static_cast<size_t>(size) * size;
  std::vector<uint8_t> ink(count);
  if (!face.Draw(code, placement, size, ink.data())) {
    // Thinning has removed all ink, so the character is drawn without it.
    placement.embolden = 0;
    if (!face.Draw(code, placement, size, ink.data())) return false;
  }
  AddNeighbours(face, placement, size, s, random, &ink);
  const bool stroke = random.Uniform() < 0.25f * s;
  if (stroke) AddStroke(size, random, &ink);
  const bool patch = random.Uniform() < 0.2f * s;
  if (patch) AddPatch(size, random, &ink);

  // Blur: the variance of a pass is 2 a / 256 pixels^2, so the deviation is up to a pixel at
  // size 32.
  const int passes = std::max(1, size / 16);
  const int a = static_cast<int>(random.Uniform(0.0f, 64.0f) * std::min(1.0f, s));
  if (a > 0) Blur(size, a, passes, &ink);

  // Paper and ink, a gradient of light, and noise: p = paper - ink * contrast + light + noise.
  const float paper = 255.0f - s * random.Uniform(0.0f, 80.0f);
  const float contrast = paper * (1.0f - s * random.Uniform(0.0f, 0.5f));
  const bool inverted = random.Uniform() < 0.12f * s;
  const float light_x = random.Uniform(-40.0f, 40.0f) * s;
  const float light_y = random.Uniform(-40.0f, 40.0f) * s;
  const float noise = random.Uniform(0.0f, 15.0f) * s;
  image->Reset(size, size, 1);
  const float step = 1.0f / static_cast<float>(size);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const size_t i = static_cast<size_t>(y) * size + x;
      float p = paper - contrast * static_cast<float>(ink[i]) * (1.0f / 255.0f);
      if (inverted) p = 255.0f - p;
      p += light_x * (static_cast<float>(x) * step - 0.5f);
      p += light_y * (static_cast<float>(y) * step - 0.5f);
      // The sum of four uniform bytes is nearly normally distributed, with deviation 147.8.
      const uint32_t bits = random.Next();
      const int sum = static_cast<int>((bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) +
                                       (bits >> 24)) -
                      510;
      p += noise * static_cast<float>(sum) * (1.0f / 147.8f);
      image->pixels[i] = static_cast<uint8_t>(std::clamp(p + 0.5f, 0.0f, 255.0f));
    }
  }
  return true;
}

}  // namespace protopage
