#include "protopage/data/decode_image.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace protopage {
namespace {

absl::Status Damaged(absl::string_view name, absl::string_view kind, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(name, ": damaged ", kind, ": ", why));
}

absl::Status CheckSize(absl::string_view name, int64_t width, int64_t height,
                       const DecodeOptions& options) {
  if (width * height > options.max_pixels) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": ", width, " x ", height,
                                                     " pixels are more than the limit of ",
                                                     options.max_pixels));
  }
  return absl::OkStatus();
}

// The decompressor of a thread: to create one costs more than to decode a small image. TurboJPEG
// catches libjpeg's longjmp itself, but the state after an error can make the next image fail, so a
// decompressor is destroyed after its first error.
class ThreadDecompressor {
 public:
  ~ThreadDecompressor() { Drop(); }
  tjhandle Get() {
    if (handle_ == nullptr) handle_ = tjInitDecompress();
    return handle_;
  }
  void Drop() {
    if (handle_ != nullptr) tjDestroy(handle_);
    handle_ = nullptr;
  }

 private:
  tjhandle handle_ = nullptr;
};

absl::Status DecodeJpegWith(tjhandle handle, absl::string_view bytes, absl::string_view name,
                            const DecodeOptions& options, Image* image) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0;
  int height = 0;
  int subsampling = 0;
  int colorspace = 0;
  if (tjDecompressHeader3(handle, data, bytes.size(), &width, &height, &subsampling, &colorspace) !=
          0 &&
      tjGetErrorCode(handle) == TJERR_FATAL) {
    return Damaged(name, "JPEG", tjGetErrorStr2(handle));
  }
  if (width <= 0 || height <= 0) return Damaged(name, "JPEG", "no size");
  if (absl::Status status = CheckSize(name, width, height, options); !status.ok()) return status;
  const bool grey = colorspace == TJCS_GRAY;
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  std::vector<uint8_t> four;  // C M Y K of each pixel.
  image->Reset(width, height, grey ? 1 : 3);
  uint8_t* out = image->pixels.data();
  if (cmyk) {
    four.resize(int64_t{width} * height * 4);
    out = four.data();
  }
  // The accurate transform on every CPU, so that the bits are the same everywhere.
  if (tjDecompress2(handle, data, bytes.size(), out, width, 0, height,
                    grey ? TJPF_GRAY : (cmyk ? TJPF_CMYK : TJPF_RGB), TJFLAG_ACCURATEDCT) != 0) {
    // libjpeg fills missing parts with grey and only warns; to train on these would be worse than
    // to stop. Extra bytes between markers are harmless.
    const std::string why = tjGetErrorStr2(handle);
    if (tjGetErrorCode(handle) == TJERR_FATAL || !absl::StrContains(why, "extraneous bytes")) {
      return Damaged(name, "JPEG", why);
    }
  }
  if (cmyk) {
    // Adobe's convention, which all writers follow: samples are inverted, and 255 is no ink.
    for (int64_t i = 0; i < int64_t{width} * height; ++i) {
      for (int c = 0; c < 3; ++c) {
        image->pixels[3 * i + c] = static_cast<uint8_t>(four[4 * i + c] * four[4 * i + 3] / 255);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status DecodeJpeg(absl::string_view bytes, absl::string_view name,
                        const DecodeOptions& options, Image* image) {
  thread_local ThreadDecompressor decompressor;
  const tjhandle handle = decompressor.Get();
  if (handle == nullptr) return absl::InternalError(absl::StrCat(name, ": no JPEG decoder"));
  absl::Status status = DecodeJpegWith(handle, bytes, name, options, image);
  if (!status.ok()) decompressor.Drop();
  return status;
}

// The simplified API of libpng contains its longjmp itself.
absl::Status DecodePng(absl::string_view bytes, absl::string_view name,
                       const DecodeOptions& options, Image* image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) {
    return Damaged(name, "PNG", png.message);
  }
  if (absl::Status status = CheckSize(name, png.width, png.height, options); !status.ok()) {
    png_image_free(&png);
    return status;
  }
  const bool grey = (png.format & PNG_FORMAT_FLAG_COLOR) == 0;
  png.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  image->Reset(static_cast<int>(png.width), static_cast<int>(png.height), grey ? 1 : 3);
  const png_color white = {255, 255, 255};
  if (png_image_finish_read(&png, &white, image->pixels.data(), 0, nullptr) == 0) {
    return Damaged(name, "PNG", png.message);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeImage(absl::string_view bytes, absl::string_view name,
                         const DecodeOptions& options, Image* image) {
  if (bytes.empty()) return absl::DataLossError(absl::StrCat(name, ": the file is empty"));
  if (absl::StartsWith(bytes, "\xff\xd8")) return DecodeJpeg(bytes, name, options, image);
  if (absl::StartsWith(bytes, "\x89PNG")) return DecodePng(bytes, name, options, image);
  return absl::DataLossError(absl::StrCat(name, ": neither a JPEG nor a PNG file"));
}

bool HasImageExtension(absl::string_view name) {
  return absl::EndsWithIgnoreCase(name, ".jpg") || absl::EndsWithIgnoreCase(name, ".jpeg") ||
         absl::EndsWithIgnoreCase(name, ".png");
}

absl::StatusOr<std::string> EncodePng(const Image& image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = image.width;
  png.height = image.height;
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  std::string bytes;
  if (png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr) != 0) {
    bytes.resize(size);
    if (png_image_write_to_memory(&png, &bytes[0], &size, 0, image.pixels.data(), 0, nullptr) !=
        0) {
      bytes.resize(size);
      return bytes;
    }
  }
  return absl::InternalError(absl::StrCat("PNG encoding failed: ", png.message));
}

}  // namespace protopage
