#include "protopage/data/decode_image.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/decode_png.h"

namespace protopage {
namespace {

absl::Status Damaged(absl::string_view name, absl::string_view kind, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(name, ": damaged ", kind, ": ", why));
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

struct JpegHeader {
  ImageHeader image;
  bool cmyk = false;
};

absl::StatusOr<JpegHeader> ReadJpegHeaderWith(tjhandle handle, absl::string_view bytes,
                                              absl::string_view name,
                                              const DecodeOptions& options) {
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
  JpegHeader header;
  header.image = {width, height, colorspace == TJCS_GRAY ? 1 : 3};
  header.cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  PROTOPAGE_RETURN_IF_ERROR(CheckImageSize(name, header.image, options));
  return header;
}

absl::Status DecodeJpegWith(tjhandle handle, absl::string_view bytes, absl::string_view name,
                            const DecodeOptions& options, Image* image) {
  PROTOPAGE_ASSIGN_OR_RETURN(const JpegHeader header,
                             ReadJpegHeaderWith(handle, bytes, name, options));
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const int width = static_cast<int>(header.image.width);
  const int height = static_cast<int>(header.image.height);
  const bool grey = header.image.channels == 1;
  std::vector<uint8_t> four;  // C M Y K of each pixel.
  image->Reset(width, height, header.image.channels);
  uint8_t* out = image->pixels.data();
  if (header.cmyk) {
    four.resize(int64_t{width} * height * 4);
    out = four.data();
  }
  // The accurate transform on every CPU, so that the bits are the same everywhere.
  if (tjDecompress2(handle, data, bytes.size(), out, width, 0, height,
                    grey ? TJPF_GRAY : (header.cmyk ? TJPF_CMYK : TJPF_RGB),
                    TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    // libjpeg fills missing parts with grey and only warns; to train on these would be worse than
    // to stop. Extra bytes between markers are harmless.
    const std::string why = tjGetErrorStr2(handle);
    if (tjGetErrorCode(handle) == TJERR_FATAL || !absl::StrContains(why, "extraneous bytes")) {
      return Damaged(name, "JPEG", why);
    }
  }
  if (header.cmyk) {
    // Adobe's convention, which all writers follow: samples are inverted, and 255 is no ink.
    for (int64_t i = 0; i < int64_t{width} * height; ++i) {
      const int k = four[4 * i + 3];
      for (int c = 0; c < 3; ++c) {
        const int ink = 255 - four[4 * i + c];
        image->pixels[3 * i + c] = static_cast<uint8_t>(k - (ink * k + 127) / 255);
      }
    }
  }
  return absl::OkStatus();
}

ThreadDecompressor& Decompressor() {
  thread_local ThreadDecompressor decompressor;
  return decompressor;
}

// Calls read(handle) with the thread's decompressor.
template <typename Read>
auto WithDecompressor(absl::string_view name, const Read& read) -> decltype(read(tjhandle())) {
  ThreadDecompressor& decompressor = Decompressor();
  const tjhandle handle = decompressor.Get();
  if (handle == nullptr) return absl::InternalError(absl::StrCat(name, ": no JPEG decoder"));
  auto result = read(handle);
  if (!result.ok()) decompressor.Drop();
  return result;
}

bool IsJpeg(absl::string_view bytes) { return absl::StartsWith(bytes, "\xff\xd8"); }
bool IsPng(absl::string_view bytes) { return absl::StartsWith(bytes, "\x89PNG"); }

absl::Status NoImage(absl::string_view bytes, absl::string_view name) {
  return absl::DataLossError(absl::StrCat(
      name, bytes.empty() ? ": the file is empty" : ": neither a JPEG nor a PNG file"));
}

}  // namespace

absl::Status DecodeImage(absl::string_view bytes, absl::string_view name,
                         const DecodeOptions& options, Image* image) {
  if (IsPng(bytes)) return DecodePng(bytes, name, options, image);
  if (!IsJpeg(bytes)) return NoImage(bytes, name);
  return WithDecompressor(
      name, [&](tjhandle handle) { return DecodeJpegWith(handle, bytes, name, options, image); });
}

absl::StatusOr<ImageHeader> ReadImageHeader(absl::string_view bytes, absl::string_view name,
                                            const DecodeOptions& options) {
  if (IsPng(bytes)) return ReadPngHeader(bytes, name, options);
  if (!IsJpeg(bytes)) return NoImage(bytes, name);
  PROTOPAGE_ASSIGN_OR_RETURN(const JpegHeader header, WithDecompressor(name, [&](tjhandle handle) {
                               return ReadJpegHeaderWith(handle, bytes, name, options);
                             }));
  return header.image;
}

bool HasImageEnd(absl::string_view begin, absl::string_view end) {
  // The length, the type and the checksum of an empty chunk.
  constexpr absl::string_view kIend("\0\0\0\0IEND\xae\x42\x60\x82", 12);
  return absl::EndsWith(end, IsPng(begin) ? kIend : absl::string_view("\xff\xd9"));
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
