#include "protopage/data/augment.h"

#include <algorithm>
#include <cmath>

namespace protopage {
namespace {

// Taylor series in single IEEE operations, which give the same bits everywhere; libm's sin and cos
// need not. |x| <= pi; the error is below 1e-6.
float Sine(float x) {
  const float s = x * x;
  float sum = 0.0f;
  for (int n = 17; n >= 3; n -= 2) sum = (1.0f + sum) * (-s / static_cast<float>(n * (n - 1)));
  return x * (1.0f + sum);
}
float Cosine(float x) {
  const float s = x * x;
  float sum = 0.0f;
  for (int n = 18; n >= 2; n -= 2) sum = (1.0f + sum) * (-s / static_cast<float>(n * (n - 1)));
  return 1.0f + sum;
}

float Positive(double value) { return value > 0 ? static_cast<float>(value) : 0.0f; }

uint8_t ClampByte(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// Draws a warp and applies it: output pixel p is the input at A (p - centre - shift) + centre.
void Warp(float rotate, float scale, float shear, float shift, RandomStream& random, Image* scratch,
          Image* image) {
  constexpr float kRadians = 3.14159265f / 180.0f;
  const float angle = random.Uniform(-rotate, rotate) * kRadians;
  const float scale_x = 1.0f / (1.0f + random.Uniform(-scale, scale));
  const float scale_y = 1.0f / (1.0f + random.Uniform(-scale, scale));
  const float slant = random.Uniform(-shear, shear);
  const float shift_x = random.Uniform(-shift, shift) * static_cast<float>(image->width);
  const float shift_y = random.Uniform(-shift, shift) * static_cast<float>(image->height);
  const float c = Cosine(angle);
  const float s = Sine(angle);
  // In units of 1/65536, which is accurate enough; from here on, all numbers are integers.
  auto fixed = [](float v) { return static_cast<int64_t>(std::lround(v * 65536.0f)); };
  const int64_t xx = fixed(scale_x * (c + slant * s));
  const int64_t xy = fixed(scale_x * (slant * c - s));
  const int64_t yx = fixed(scale_y * s);
  const int64_t yy = fixed(scale_y * c);
  const int width = image->width;
  const int height = image->height;
  const int channels = image->channels;
  // Coordinates relative to the centre, doubled so that they are integers.
  const int64_t dx = fixed(2 * shift_x) - 65536 * int64_t{1 - width};
  const int64_t dy = fixed(2 * shift_y) - 65536 * int64_t{1 - height};
  std::swap(*scratch, *image);
  image->Reset(width, height, channels);
  const uint8_t* in = scratch->pixels.data();
  uint8_t* out = image->pixels.data();
  const int64_t max_x = int64_t{width - 1} << 8;
  const int64_t max_y = int64_t{height - 1} << 8;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int64_t px = int64_t{2 * x} * 65536 - dx;  // 2 * 65536 * (x - centre - shift)
      const int64_t py = int64_t{2 * y} * 65536 - dy;
      // In units of 1/256 pixel: the products have two factors of 65536 and one of 2, that is 2^33,
      // and 2^33 / 2^25 = 2^8.
      const int64_t u =
          std::clamp(((xx * px + xy * py) >> 25) + (int64_t{width - 1} << 7), int64_t{0}, max_x);
      const int64_t v =
          std::clamp(((yx * px + yy * py) >> 25) + (int64_t{height - 1} << 7), int64_t{0}, max_y);
      const int fx = static_cast<int>(u & 255);
      const int fy = static_cast<int>(v & 255);
      const int64_t left = (u >> 8) * channels;
      const int64_t right = std::min((u >> 8) + 1, int64_t{width - 1}) * channels;
      const int64_t upper = (v >> 8) * width * channels;
      const int64_t lower = std::min((v >> 8) + 1, int64_t{height - 1}) * width * channels;
      for (int ch = 0; ch < channels; ++ch) {
        const int top = in[upper + left + ch] * (256 - fx) + in[upper + right + ch] * fx;
        const int bottom = in[lower + left + ch] * (256 - fx) + in[lower + right + ch] * fx;
        *out++ = static_cast<uint8_t>((top * (256 - fy) + bottom * fy + 32768) >> 16);
      }
    }
  }
}

void FlipLeftRight(Image* image) {
  const int channels = image->channels;
  for (int y = 0; y < image->height; ++y) {
    uint8_t* left = &image->pixels[int64_t{y} * image->width * channels];
    uint8_t* right = left + (image->width - 1) * channels;
    for (; left < right; left += channels, right -= channels) {
      std::swap_ranges(left, left + channels, right);
    }
  }
}

// Moves the image by (dx, dy) pixels and fills the uncovered border with 0.
void Shift(int dx, int dy, Image* scratch, Image* image) {
  if (dx == 0 && dy == 0) return;
  std::swap(*scratch, *image);
  const int width = scratch->width;
  const int height = scratch->height;
  const int channels = scratch->channels;
  image->Reset(width, height, channels);
  std::fill(image->pixels.begin(), image->pixels.end(), 0);
  const int columns = width - std::abs(dx);
  if (columns <= 0) return;
  for (int y = std::max(0, dy); y < std::min(height, height + dy); ++y) {
    const uint8_t* from = &scratch->pixels[(int64_t{y - dy} * width + std::max(0, -dx)) * channels];
    std::copy_n(from, columns * channels,
                &image->pixels[(int64_t{y} * width + std::max(0, dx)) * channels]);
  }
}

}  // namespace

void AugmentConfig::Fields(ConfigVisitor& v) {
  v.Number("flip", &flip,
           {.help = "probability of mirroring left and right; -1 in any field here: the default "
                    "of the data's type",
            .min = -1,
            .max = 1});
  v.Integer("pad_crop", &pad_crop,
            {.help = "pixels of border for a random crop", .min = -1, .max = 1024});
  v.Number("rotate", &rotate, {.help = "degrees, at most", .min = -1, .max = 180});
  v.Number("scale", &scale, {.help = "change of each axis, at most", .min = -1, .max = 0.9});
  v.Number("shear", &shear, {.help = "horizontal shear, at most", .min = -1, .max = 1});
  v.Number("shift", &shift, {.help = "shift as a share of the side, at most", .min = -1, .max = 1});
  v.Number("brightness", &brightness,
           {.help = "change as a share of 255, at most", .min = -1, .max = 1});
  v.Number("contrast", &contrast,
           {.help = "change of the factor about mid grey, at most", .min = -1, .max = 1});
  v.Number("noise", &noise,
           {.help = "uniform noise as a share of 255, at most", .min = -1, .max = 1});
}

AugmentConfig AugmentConfig::None() {
  AugmentConfig none;
  none.flip = none.rotate = none.scale = none.shear = none.shift = 0;
  none.brightness = none.contrast = none.noise = 0;
  none.pad_crop = 0;
  return none;
}

bool AugmentConfig::IsNone() const {
  return flip <= 0 && pad_crop <= 0 && rotate <= 0 && scale <= 0 && shear <= 0 && shift <= 0 &&
         brightness <= 0 && contrast <= 0 && noise <= 0;
}

void Augment(const AugmentConfig& config, RandomStream& random, Image* scratch, Image* image) {
  const float rotate = Positive(config.rotate);
  const float scale = Positive(config.scale);
  const float shear = Positive(config.shear);
  const float shift = Positive(config.shift);
  if (rotate > 0 || scale > 0 || shear > 0 || shift > 0) {
    Warp(rotate, scale, shear, shift, random, scratch, image);
  }
  if (config.flip > 0 && random.Uniform() < static_cast<float>(config.flip)) FlipLeftRight(image);
  if (config.pad_crop > 0) {
    const uint64_t choices = 2 * config.pad_crop + 1;
    const int dx = static_cast<int>(static_cast<int64_t>(random.Below(choices)) - config.pad_crop);
    const int dy = static_cast<int>(static_cast<int64_t>(random.Below(choices)) - config.pad_crop);
    Shift(dx, dy, scratch, image);
  }
  const float brightness = Positive(config.brightness);
  const float contrast = Positive(config.contrast);
  if (brightness > 0 || contrast > 0) {
    const float factor = 1.0f + random.Uniform(-contrast, contrast);
    const float offset = random.Uniform(-brightness, brightness) * 255.0f;
    const int slope = static_cast<int>(factor * 4096.0f);
    const int constant = static_cast<int>((127.5f + offset) * 4096.0f) - slope * 255 / 2;
    uint8_t table[256];
    for (int i = 0; i < 256; ++i) table[i] = ClampByte((slope * i + constant + 2048) >> 12);
    for (uint8_t& p : image->pixels) p = table[p];
  }
  const float noise = Positive(config.noise);
  if (noise > 0) {
    // The amplitude differs from image to image. One draw gives four bytes of noise.
    const int amplitude = static_cast<int>(random.Uniform() * noise * 255.0f);
    uint32_t bits = 0;
    for (size_t i = 0; i < image->pixels.size(); ++i) {
      if (i % 4 == 0) bits = random.Next();
      const int centred = static_cast<int>(bits & 255) * 2 - 255;
      bits >>= 8;
      image->pixels[i] = ClampByte(image->pixels[i] + centred * amplitude / 255);
    }
  }
}

}  // namespace protopage
