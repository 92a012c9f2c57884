#include "protopage/data/decode_png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

// A PNG file that libpng is reading. libpng leaves by longjmp on an error, so it is called in
// Protected() only, by functions that have no object with a destructor.
class PngReader {
 public:
  PngReader(absl::string_view bytes, absl::string_view name) : rest_(bytes), name_(name) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, OnError, OnWarning);
    if (png_ == nullptr) return;
    info_ = png_create_info_struct(png_);
    png_set_read_fn(png_, this, OnRead);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  absl::StatusOr<ImageHeader> ReadHeader() {
    if (info_ == nullptr) return absl::InternalError(absl::StrCat(name_, ": no PNG decoder"));
    PROTOPAGE_RETURN_IF_ERROR(Protected([this] {
      // All but IHDR, PLTE, tRNS, IDAT and IEND is skipped: gamma, colour profiles, texts.
      png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
      png_read_info(png_, info_);
    }));
    const bool grey = (png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR) == 0;
    return ImageHeader{png_get_image_width(png_, info_), png_get_image_height(png_, info_),
                       grey ? 1 : 3};
  }

  // The pixels as 8-bit grey or RGB, followed by alpha when `*has_alpha` turns out true.
  absl::Status ReadPixels(const ImageHeader& header, std::vector<uint8_t>* pixels,
                          bool* has_alpha) {
    int passes = 0;
    size_t row_bytes = 0;
    PROTOPAGE_RETURN_IF_ERROR(Protected([&] {
      png_set_expand(png_);    // Palettes to RGB, 1 to 4 bits to 8, tRNS to alpha.
      png_set_strip_16(png_);  // The high byte.
      passes = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
      row_bytes = png_get_rowbytes(png_, info_);
    }));
    *has_alpha = (png_get_color_type(png_, info_) & PNG_COLOR_MASK_ALPHA) != 0;
    const size_t channels = header.channels + (*has_alpha ? 1 : 0);
    if (row_bytes != static_cast<size_t>(header.width) * channels) {
      return Damaged("rows of an unexpected size");
    }
    pixels->resize(row_bytes * header.height);
    uint8_t* const data = pixels->data();
    return Protected([&] {
      for (int pass = 0; pass < passes; ++pass) {
        for (int64_t y = 0; y < header.height; ++y) {
          png_read_row(png_, data + y * row_bytes, nullptr);
        }
      }
    });
  }

 private:
  static void OnError(png_structp png, png_const_charp message) {
    auto* const reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(reader->error_, sizeof(reader->error_), "%s", message);
    std::longjmp(reader->jump_, 1);
  }
  static void OnWarning(png_structp, png_const_charp) {}
  static void OnRead(png_structp png, png_bytep out, size_t size) {
    auto* const reader = static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > reader->rest_.size()) png_error(png, "the file ends early");
    std::memcpy(out, reader->rest_.data(), size);
    reader->rest_.remove_prefix(size);
  }

  absl::Status Damaged(const char* why) const {
    return absl::DataLossError(absl::StrCat(name_, ": damaged PNG: ", why));
  }

  // Runs `body` until its end or the first error of libpng.
  absl::Status Protected(absl::FunctionRef<void()> body) {
    if (setjmp(jump_) != 0) return Damaged(error_);
    body();
    return absl::OkStatus();
  }

  absl::string_view rest_;
  const absl::string_view name_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_;
  char error_[200] = {};
};

// Pixels of `channels` values and alpha, blended with white, which is 255 in each channel.
void BlendWithWhite(const std::vector<uint8_t>& pixels, int channels, Image* image) {
  const uint8_t* in = pixels.data();
  uint8_t* out = image->pixels.data();
  const int64_t count = image->bytes() / channels;
  for (int64_t i = 0; i < count; ++i, in += channels + 1, out += channels) {
    const int alpha = in[channels];
    for (int c = 0; c < channels; ++c) {
      out[c] = static_cast<uint8_t>((in[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}

}  // namespace

absl::StatusOr<ImageHeader> ReadPngHeader(absl::string_view bytes, absl::string_view name,
                                          const DecodeOptions& options) {
  PngReader reader(bytes, name);
  PROTOPAGE_ASSIGN_OR_RETURN(const ImageHeader header, reader.ReadHeader());
  PROTOPAGE_RETURN_IF_ERROR(CheckImageSize(name, header, options));
  return header;
}

absl::Status DecodePng(absl::string_view bytes, absl::string_view name,
                       const DecodeOptions& options, Image* image) {
  PngReader reader(bytes, name);
  PROTOPAGE_ASSIGN_OR_RETURN(const ImageHeader header, reader.ReadHeader());
  PROTOPAGE_RETURN_IF_ERROR(CheckImageSize(name, header, options));
  image->width = static_cast<int>(header.width);
  image->height = static_cast<int>(header.height);
  image->channels = header.channels;
  bool has_alpha = false;
  PROTOPAGE_RETURN_IF_ERROR(reader.ReadPixels(header, &image->pixels, &has_alpha));
  if (!has_alpha) return absl::OkStatus();
  const std::vector<uint8_t> with_alpha = std::move(image->pixels);
  image->Reset(image->width, image->height, image->channels);
  BlendWithWhite(with_alpha, header.channels, image);
  return absl::OkStatus();
}

}  // namespace protopage
