#include "protopage/data/image.h"

#include <algorithm>

#include "protopage/base/check.h"

namespace protopage {
namespace {

// The weights of the input samples of one output sample, in 1/4096; their sum is 4096.
struct Taps {
  int first = 0;
  std::vector<int32_t> weight;
};

constexpr int kUnit = 4096;

// When the axis shrinks, output sample o is the average over the interval [o, o + 1) * in / out of
// the input; when it grows, output sample o is a blend of the two input samples around its centre.
std::vector<Taps> MakeTaps(int in, int out) {
  std::vector<Taps> taps(out);
  for (int o = 0; o < out; ++o) {
    Taps& t = taps[o];
    if (out <= in) {
      // In units of 1/out of an input sample the interval is [o * in, (o + 1) * in).
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
  out->Reset(width, height, channels);
  // For one output row at a time, sums whole input rows, which the compiler vectorizes, in units of
  // 1/256 (at most 255 * 4096 / 16, which fits in 16 bits); then sums columns.
  const int in_stride = in.width * channels;
  std::vector<int32_t> sums(in_stride);
  for (int y = 0; y < height; ++y) {
    const Taps& v = vertical[y];
    std::fill(sums.begin(), sums.end(), 8);
    for (size_t k = 0; k < v.weight.size(); ++k) {
      const uint8_t* source = &in.pixels[int64_t{v.first + static_cast<int>(k)} * in_stride];
      const int32_t weight = v.weight[k];
      for (int x = 0; x < in_stride; ++x) sums[x] += weight * source[x];
    }
    for (int32_t& sum : sums) sum >>= 4;
    uint8_t* target = &out->pixels[int64_t{y} * width * channels];
    for (int x = 0; x < width; ++x) {
      const Taps& h = horizontal[x];
      const int32_t* source = &sums[h.first * channels];
      const int32_t* weight = h.weight.data();
      const int count = static_cast<int>(h.weight.size());
      // 65280 * 4096 + half fits in 28 bits.
      if (channels == 3) {
        int32_t r = 1 << 19, g = 1 << 19, b = 1 << 19;
        for (int k = 0; k < count; ++k) {
          r += weight[k] * source[3 * k];
          g += weight[k] * source[3 * k + 1];
          b += weight[k] * source[3 * k + 2];
        }
        target[3 * x] = static_cast<uint8_t>(r >> 20);
        target[3 * x + 1] = static_cast<uint8_t>(g >> 20);
        target[3 * x + 2] = static_cast<uint8_t>(b >> 20);
      } else {
        int32_t sum = 1 << 19;
        for (int k = 0; k < count; ++k) sum += weight[k] * source[k];
        target[x] = static_cast<uint8_t>(sum >> 20);
      }
    }
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
