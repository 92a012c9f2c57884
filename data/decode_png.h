// Decodes PNG files with libpng, whose errors it turns into a status.
// Part of data/decode_image.h, which says what becomes of each kind of pixels, and has an example.
#ifndef PROTOPAGE_DATA_DECODE_PNG_H_
#define PROTOPAGE_DATA_DECODE_PNG_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "protopage/data/decode_options.h"
#include "protopage/data/image.h"

namespace protopage {

// `bytes` must begin with the header; what follows is not looked at. Errors: as DecodePng.
absl::StatusOr<ImageHeader> ReadPngHeader(absl::string_view bytes, absl::string_view name,
                                          const DecodeOptions& options);

// Errors: DataLoss (damaged, truncated), ResourceExhausted (larger than max_pixels), each with
// `name`. Thread-safe. On error `image` is unspecified.
absl::Status DecodePng(absl::string_view bytes, absl::string_view name,
                       const DecodeOptions& options, Image* image);

}  // namespace protopage

#endif  // PROTOPAGE_DATA_DECODE_PNG_H_
