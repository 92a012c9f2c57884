// Image: 8-bit pixels of any size, rows from the top, channels interleaved (HWC): channel c of
// pixel (x, y) is pixels[(y * width + x) * channels + c].
//
//   Image small;
//   ResizeImage(photo, 32, 32, &small);
//   ConvertChannels(1, &small);  // RGB -> grey
//
// All arithmetic is in integers, so the bits are the same on every machine.
#ifndef PROTOPAGE_DATA_IMAGE_H_
#define PROTOPAGE_DATA_IMAGE_H_

#include <cstdint>
#include <vector>

namespace protopage {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;  // 1 (grey) or 3 (RGB).
  std::vector<uint8_t> pixels;

  int64_t bytes() const { return int64_t{width} * height * channels; }
  // Sets the shape and resizes `pixels`, whose content is unspecified afterwards.
  void Reset(int new_width, int new_height, int new_channels);
};

// Scales `in` to width x height, each axis independently: averages over areas along an axis that
// shrinks, and interpolates linearly along one that grows. `out` must not be `in`.
void ResizeImage(const Image& in, int width, int height, Image* out);

// Converts the image to 1 or 3 channels: grey is (77 R + 150 G + 29 B + 128) / 256 (the weights of
// ITU-R BT.601); the RGB values of a grey pixel are three times the grey value.
void ConvertChannels(int channels, Image* image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_IMAGE_H_
