// Decodes JPEG and PNG files, and encodes PNG.
//
//   Image image;
//   PROTOPAGE_RETURN_IF_ERROR(DecodeImage(bytes, path, {}, &image));  // Grey or RGB, as the file.
//
// Palettes, 16-bit samples, interlacing and CMYK are converted to 8-bit grey or RGB; transparent
// pixels are blended with white. Orientation tags are not applied.
#ifndef PROTOPAGE_DATA_DECODE_IMAGE_H_
#define PROTOPAGE_DATA_DECODE_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/image.h"

namespace protopage {

struct DecodeOptions {
  // More pixels than this are an error, found before memory is allocated.
  int64_t max_pixels = 100'000'000;
};

// The format is found from the first bytes, not from the name; error messages begin with `name`.
// Errors: DataLoss (neither JPEG nor PNG, damaged, truncated), ResourceExhausted (larger than
// max_pixels). Thread-safe. On error `image` is unspecified.
absl::Status DecodeImage(absl::string_view bytes, absl::string_view name,
                         const DecodeOptions& options, Image* image);

// Whether the name ends in .jpg, .jpeg or .png, in any case.
bool HasImageExtension(absl::string_view name);

absl::StatusOr<std::string> EncodePng(const Image& image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_DECODE_IMAGE_H_
