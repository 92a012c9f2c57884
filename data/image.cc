#include "data/image.h"

#include <algorithm>

#include "base/check.h"

namespace protopage {
namespace {

// Weights of the input samples that make one output sample, in 1/4096; they sum
// to 4096.
struct Taps {
  int first = 0;
  std::vector<int32_t> weight;
};

constexpr int kUnit = 4096;

// Output sample o covers the interval [o, o + 1) * in / out of the input when
// the axis shrinks (area average); when it grows, the two samples around its
// centre are blended.
std::vector<Taps> MakeTaps(int in, int out) {
  std::vector<Taps> taps(out);
  for (int o = 0; o < out; ++o) {
    Taps& t = taps[o];
    if (out <= in) {
      // In units of 1/out of an input sample the interval is [o * in, (o + 1) *
      // in).
      const int64_t begin = int64_t{o} * in;
      const int64_t end = begin + in;
      t.first = static_cast<int>(begin / out);
      const int last = static_cast<int>((end - 1) / out);
      int32_t sum = 0;
      size_t largest = 0;
      for (int i = t.first; i <= last; ++i) {
        const int64_t low = std::max(begin, int64_t{i} * out);
        const int64_t high = std::min(end, int64_t{i + 1} * out);
        t.weight.push_back(static_cast<int32_t>((high - low) * kUnit / in));
        sum += t.weight.back();
        if (t.weight.back() > t.weight[largest]) largest = t.weight.size() - 1;
      }
      t.weight[largest] += kUnit - sum;
    } else {
      // The centre (o + 1/2) in / out - 1/2 in units of 1/(2 out).
      const int64_t position =
          std::clamp(int64_t{2 * o + 1} * in - out, int64_t{0}, int64_t{2} * out * (in - 1));
      t.first = static_cast<int>(position / (2 * out));
      const int32_t right = static_cast<int32_t>((position % (2 * out)) * kUnit / (2 * out));
      t.weight.push_back(kUnit - right);
      if (right > 0) t.weight.push_back(right);
    }
  }
  return taps;
}

}  // namespace

void Image::Reset(int new_width, int new_height, int new_channels) {
  width = new_width;
  height = new_height;
  channels = new_channels;
  pixels.resize(bytes());
}

void ResizeImage(const Image& in, int width, int height, Image* out) {
  PROTOPAGE_CHECK(out != &in);
  PROTOPAGE_CHECK(in.width > 0 && in.height > 0 && width > 0 && height > 0);
  if (in.width == width && in.height == height) {
    *out = in;
    return;
  }
  const int channels = in.channels;
  const std::vector<Taps> horizontal = MakeTaps(in.width, width);
  const std::vector<Taps> vertical = MakeTaps(in.height, height);
  // Rows first, kept at 16 bits (8.4 fixed point, as 4096 * 255 / 256 < 2^12).
  std::vector<uint16_t> rows(int64_t{in.height} * width * channels);
  for (int y = 0; y < in.height; ++y) {
    const uint8_t* source = &in.pixels[int64_t{y} * in.width * channels];
    uint16_t* target = &rows[int64_t{y} * width * channels];
    for (int x = 0; x < width; ++x) {
      const Taps& t = horizontal[x];
      for (int c = 0; c < channels; ++c) {
        int32_t sum = 0;
        for (size_t k = 0; k < t.weight.size(); ++k) {
          sum += t.weight[k] * source[(t.first + k) * channels + c];
        }
        target[x * channels + c] = static_cast<uint16_t>((sum + 128) >> 8);
      }
    }
  }
  out->Reset(width, height, channels);
  const int stride = width * channels;
  std::vector<int32_t> sums(stride);
  for (int y = 0; y < height; ++y) {
    const Taps& t = vertical[y];
    std::fill(sums.begin(), sums.end(), 0);
    for (size_t k = 0; k < t.weight.size(); ++k) {
      const uint16_t* source = &rows[(t.first + k) * stride];
      for (int x = 0; x < stride; ++x) sums[x] += t.weight[k] * source[x];
    }
    uint8_t* target = &out->pixels[int64_t{y} * stride];
    for (int x = 0; x < stride; ++x) target[x] = static_cast<uint8_t>((sums[x] + 32768) >> 16);
  }
}

void ConvertChannels(int channels, Image* image) {
  PROTOPAGE_CHECK(channels == 1 || channels == 3);
  if (image->channels == channels) return;
  const int64_t count = int64_t{image->width} * image->height;
  std::vector<uint8_t> converted(count * channels);
  if (channels == 1) {
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* p = &image->pixels[3 * i];
      converted[i] = static_cast<uint8_t>((77 * p[0] + 150 * p[1] + 29 * p[2] + 128) >> 8);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      std::fill_n(&converted[3 * i], 3, image->pixels[i]);
    }
  }
  image->pixels = std::move(converted);
  image->channels = channels;
}

}  // namespace protopage
