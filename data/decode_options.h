// DecodeOptions and ImageHeader: limits of decoding, and the shape of an image that is not decoded
// yet. See data/decode_image.h.
#ifndef PROTOPAGE_DATA_DECODE_OPTIONS_H_
#define PROTOPAGE_DATA_DECODE_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace protopage {

struct DecodeOptions {
  // More pixels than this are an error, found before memory is allocated.
  int64_t max_pixels = 100'000'000;
};

struct ImageHeader {
  int64_t width = 0;
  int64_t height = 0;
  int channels = 0;  // Of the decoded image: 1 (grey) or 3 (RGB).
};

// ResourceExhausted when the image has more than options.max_pixels.
inline absl::Status CheckImageSize(absl::string_view name, const ImageHeader& header,
                                   const DecodeOptions& options) {
  if (header.width * header.height <= options.max_pixels) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(name, ": ", header.width, " x ", header.height,
                                                   " pixels are more than the limit of ",
                                                   options.max_pixels));
}

}  // namespace protopage

#endif  // PROTOPAGE_DATA_DECODE_OPTIONS_H_
