// Decodes JPEG and PNG files, and encodes PNG.
//
//   Image image;
//   PROTOPAGE_RETURN_IF_ERROR(DecodeImage(bytes, path, {}, &image));  // Grey or RGB, as the file.
//
// Every kind of file becomes 8-bit grey or RGB, with the values that stand in the file:
//
//   16-bit PNG       the high byte of each sample
//   1, 2, 4 bits     scaled to 0 .. 255
//   palette          RGB
//   alpha, tRNS      blended with white: round((v a + 255 (255 - a)) / 255)
//   CMYK, YCCK       RGB = K - round((255 - C) K / 255), for the inverted samples of Adobe's files
//   gamma, profiles  (gAMA, cHRM, sRGB, iCCP, ICC) ignored
//   orientation      (EXIF) not applied
//
// Pillow's Image.open gives the same RGB, for 16-bit colour too; it clips 16-bit grey instead, and
// drops alpha where it converts to RGB. OpenCV's imread gives the same as well, but turns images by
// their EXIF orientation, drops alpha, and rounds CMYK down.
#ifndef PROTOPAGE_DATA_DECODE_IMAGE_H_
#define PROTOPAGE_DATA_DECODE_IMAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/decode_options.h"
#include "protopage/data/image.h"

namespace protopage {

// The format is found from the first bytes, not from the name; error messages begin with `name`.
// Errors: DataLoss (neither JPEG nor PNG, damaged, truncated), ResourceExhausted (larger than
// max_pixels). Thread-safe. On error `image` is unspecified.
absl::Status DecodeImage(absl::string_view bytes, absl::string_view name,
                         const DecodeOptions& options, Image* image);

// The shape of the image. `bytes` may be the beginning of a file only: it is DataLoss then when the
// header goes on after it. Errors: as DecodeImage.
absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, absl::string_view name,
                                            const DecodeOptions& options);

// Whether a file that begins with `begin` and ends with `end`, at least 12 bytes each, ends as its
// format does. A JPEG or PNG that does not may be truncated, or may have other data behind it.
bool HasImageEnd(absl::string_view begin, absl::string_view end);

// Whether the name ends in .jpg, .jpeg or .png, in any case.
bool HasImageExtension(absl::string_view name);

absl::StatusOr<std::string> EncodePng(const Image& image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_DECODE_IMAGE_H_
