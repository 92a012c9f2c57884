// Images: JPEG and PNG files and the binary files of CIFAR. Checksums of PNG are set right in part
// of the inputs, and its pixels compressed, so that the code behind them is reached.
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/fuzz/fuzz_checks.h"
#include "protopage/base/fuzz/fuzz_folder.h"
#include "protopage/base/fuzz/fuzz_input.h"
#include "protopage/data/check_images.h"
#include "protopage/data/cifar_source.h"
#include "protopage/data/decode_image.h"

namespace protopage {
namespace {

constexpr absl::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

const FuzzFolder& Folder() {
  static FuzzFolder* const folder = new FuzzFolder("image");
  return *folder;
}

std::string BigEndian(uint32_t value) {
  std::string bytes(4, '\0');
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (24 - 8 * i));
  return bytes;
}

std::string Crc(absl::string_view bytes) {
  return BigEndian(static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()))));
}

std::string Chunk(absl::string_view type, absl::string_view content) {
  const std::string checked = absl::StrCat(type, content);
  return absl::StrCat(BigEndian(static_cast<uint32_t>(content.size())), checked, Crc(checked));
}

// A PNG with the right checksum in every chunk that is whole.
std::string WithPngChecksums(std::string png) {
  size_t at = kPngSignature.size();
  while (at + 12 <= png.size()) {
    uint64_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(png[at + i]);
    if (at + 12 + size > png.size()) break;
    png.replace(at + 8 + size, 4, Crc(absl::string_view(png).substr(at + 4, size + 4)));
    at += 12 + size;
  }
  return png;
}

// A PNG whose header, palette, transparency and rows are the input's.
std::string MadePng(FuzzInput input) {
  constexpr int kDepths[] = {8, 16, 4, 2, 1, 3};
  constexpr int kColorTypes[] = {2, 0, 3, 4, 6, 5};
  std::string header = BigEndian(static_cast<uint32_t>(1 + input.Below(40)));
  absl::StrAppend(&header, BigEndian(static_cast<uint32_t>(1 + input.Below(40))));
  header += static_cast<char>(kDepths[input.Below(6)]);
  header += static_cast<char>(kColorTypes[input.Below(6)]);
  header += std::string("\0\0", 2);
  header += static_cast<char>(input.Below(3));  // Interlaced?
  std::string png = absl::StrCat(kPngSignature, Chunk("IHDR", header));
  if (input.Below(2) == 1) {
    absl::StrAppend(&png, Chunk("PLTE", input.Bytes(3 * input.Below(20))));
  }
  if (input.Below(2) == 1) absl::StrAppend(&png, Chunk("tRNS", input.Bytes(input.Below(20))));
  const int64_t row_factor = input.Below(8);  // Fills up what the input lacks.
  std::string rows(input.Rest());
  rows.resize(rows.size() + row_factor * 1000);
  uLongf bytes = compressBound(rows.size());
  std::string compressed(bytes, '\0');
  PROTOPAGE_CHECK(compress2(reinterpret_cast<Bytef*>(&compressed[0]), &bytes,
                            reinterpret_cast<const Bytef*>(rows.data()), rows.size(), 1) == Z_OK);
  compressed.resize(bytes);
  return absl::StrCat(png, Chunk("IDAT", compressed), Chunk("IEND", ""));
}

void TryImage(const std::string& bytes) {
  DecodeOptions options;
  options.max_pixels = 1 << 18;
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, "a.png", options);
  CheckError(header.status());
  Image image;
  const absl::Status status = DecodeImage(bytes, "a.png", options, &image);
  CheckError(status);
  const std::string path = Folder().Write("a.png", bytes);
  const absl::Status checked = CheckImageFile(DefaultFileSystem(), path, options);
  CheckError(checked);
  if (!status.ok()) return;
  // What can be decoded passes the check, and has the shape that its header promises.
  PROTOPAGE_CHECK(header.ok() && checked.ok());
  PROTOPAGE_CHECK(image.width == header->width && image.height == header->height &&
                  image.channels == header->channels);
  Image again;
  PROTOPAGE_CHECK(DecodeImage(bytes, "a.png", options, &again).ok());
  PROTOPAGE_CHECK(again.pixels == image.pixels);
  const absl::StatusOr<std::string> png = EncodePng(image);
  PROTOPAGE_CHECK(png.ok() && DecodeImage(*png, "a.png", options, &again).ok());
  PROTOPAGE_CHECK(again.pixels == image.pixels && again.channels == image.channels);
}

// A file of records whose labels are the input's, perhaps with a part of a record at its end.
void TryCifar(FuzzInput input) {
  const bool hundred = input.Below(2) == 1;
  const std::string dataset = hundred ? "cifar100" : "cifar10";
  std::string records;
  for (int64_t count = input.Below(4); count > 0; --count) {
    std::string record(input.Bytes(hundred ? 2 : 1));
    record.resize((hundred ? 2 : 1) + 3072, static_cast<char>(count));
    records += record;
  }
  absl::StrAppend(&records, input.Rest());
  Folder().Write(hundred ? "cifar-100-binary/test.bin" : "cifar-10-batches-bin/test_batch.bin",
                 records);
  const auto source = OpenCifar(DefaultFileSystem(), Folder().path(), dataset, /*train=*/false);
  CheckError(source.status());
  if (!source.ok()) return;
  for (int64_t record = 0; record < (*source)->size(); ++record) {
    Image image;
    PROTOPAGE_CHECK((*source)->Label(record) < (*source)->num_classes());
    PROTOPAGE_CHECK((*source)->Read(record, &image).ok());
  }
}

void TryBytes(FuzzInput input) {
  switch (input.Below(4)) {
    case 0:
      return TryImage(std::string(input.Rest()));
    case 1:
      return TryImage(WithPngChecksums(std::string(input.Rest())));
    case 2:
      return TryImage(MadePng(input));
    default:
      return TryCifar(input);
  }
}

}  // namespace
}  // namespace protopage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protopage::TryBytes(protopage::FuzzInput(data, size));
  return 0;
}
