// Shows the images of the glyph source, as a contact sheet of a split, and the similarity of its
// fonts.
//
//   ./bazelw run //data/glyphs:glyph_sheet -- --split=target_train --output=sheet.png
//
// writes a PNG with a row for each class (the id first when the split has ids) and prints, for each
// font, the number of Han characters that it draws and its correlation with every other font
// (data/glyphs/font_face.h): the evidence that held-out fonts are not derived from training fonts.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "protopage/base/file.h"
#include "protopage/base/logging.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/data/class_images.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/glyphs/font_face.h"
#include "protopage/data/glyphs/glyph_classes.h"
#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/glyphs/han_characters.h"
#include "protopage/data/open_source.h"

ABSL_FLAG(std::string, split, "target_train", "split to show");
ABSL_FLAG(std::string, output, "glyphs.png", "PNG to write");
ABSL_FLAG(int, rows, 24, "classes to show");
ABSL_FLAG(int, columns, 16, "the most images per class to show");
ABSL_FLAG(int, zoom, 2, "side of a pixel of the images, in pixels of the sheet");
ABSL_FLAG(double, distortion, -1, "data.glyphs.distortion; below 0: the default");
ABSL_FLAG(int, image_size, 32, "data.image_size");
ABSL_FLAG(bool, fonts, true, "print the table of fonts");

namespace protopage {
namespace {

constexpr int kGap = 4;

absl::Status WriteSheet(const ImageSource& source) {
  const ClassImages images(source);
  const int zoom = absl::GetFlag(FLAGS_zoom);
  const int cell = absl::GetFlag(FLAGS_image_size) * zoom + kGap;
  const int rows =
      static_cast<int>(std::min<int64_t>(absl::GetFlag(FLAGS_rows), images.num_classes()));
  int columns = 1;
  for (int row = 0; row < rows; ++row) {
    columns = std::max(columns, static_cast<int>(std::min<int64_t>(absl::GetFlag(FLAGS_columns),
                                                                   images.Count(row))));
  }
  Image sheet;
  sheet.Reset(columns * cell, rows * cell, 1);
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), 128);
  Image image;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < std::min<int64_t>(columns, images.Count(row)); ++column) {
      PROTOPAGE_RETURN_IF_ERROR(source.Read(images.Record(row, column), &image));
      for (int y = 0; y < image.height * zoom; ++y) {
        for (int x = 0; x < image.width * zoom; ++x) {
          sheet.pixels[int64_t{row * cell + y} * sheet.width + column * cell + x] =
              image.pixels[y / zoom * image.width + x / zoom];
        }
      }
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::string png, EncodePng(sheet));
  return WriteFileAtomically(DefaultFileSystem(), absl::GetFlag(FLAGS_output), png);
}

absl::Status PrintFonts(const GlyphConfig& config) {
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFonts fonts, ResolveGlyphFonts(config));
  PROTOPAGE_ASSIGN_OR_RETURN(const GlyphFaces faces, OpenGlyphFaces(fonts));
  std::vector<uint32_t> sample;
  RandomStream random(1, RandomPurpose::kTest, 0);
  for (int64_t offset : SampleWithoutReplacement(random, 0x5200, 200)) {
    sample.push_back(0x4E00 + static_cast<uint32_t>(offset));
  }
  std::vector<std::vector<std::vector<float>>> signatures;
  for (const auto& face : faces) signatures.push_back(FontSignatures(*face, sample));
  std::printf("correlation x 100, as numbered\n  #  characters");
  for (size_t f = 0; f < faces.size(); ++f) std::printf(" %3zu", f);
  std::printf("  font\n");
  std::vector<uint8_t> ink(16 * 16);
  for (size_t f = 0; f < faces.size(); ++f) {
    int drawn = 0;
    for (uint32_t code : HanCodePoints()) {
      drawn += faces[f]->Draw(code, GlyphPlacement(), 16, ink.data());
    }
    std::printf("%3zu  %10d", f, drawn);
    for (size_t g = 0; g < faces.size(); ++g) {
      std::printf(" %3.0f", 100 * FontCorrelation(signatures[f], signatures[g]));
    }
    std::printf("  %s %s%s\n", fonts.fonts[f].lineage.c_str(),
                BaseName(fonts.fonts[f].path).c_str(),
                f == 0                               ? " (id)"
                : fonts.HeldOut(static_cast<int>(f)) ? " (held out)"
                                                     : "");
  }
  return absl::OkStatus();
}

absl::Status Run() {
  DataConfig config;
  config.image_size = absl::GetFlag(FLAGS_image_size);
  GlyphConfig& glyphs = config.options.Mutable<GlyphConfig>();
  if (absl::GetFlag(FLAGS_distortion) >= 0) {
    glyphs.distortion = absl::GetFlag(FLAGS_distortion);
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Split split, ParseSplit(absl::GetFlag(FLAGS_split)));
  OpenOptions options;
  options.progress = [](absl::string_view what, int64_t done, int64_t total) {
    DrawProgress(absl::StrFormat("%s %d of %d", what, done, total));
  };
  PROTOPAGE_ASSIGN_OR_RETURN(const auto source, OpenSource(config, split, options));
  DrawProgress("");
  std::printf("%s\n", source->Description().c_str());
  PROTOPAGE_RETURN_IF_ERROR(WriteSheet(*source));
  return absl::GetFlag(FLAGS_fonts) ? PrintFonts(glyphs) : absl::OkStatus();
}

}  // namespace
}  // namespace protopage

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Writes a contact sheet of the glyph source, prints its fonts.");
  absl::ParseCommandLine(argc, argv);
  // Under `bazel run`, relative paths start at the folder where the user called it.
  std::string output = absl::GetFlag(FLAGS_output);
  const char* working = std::getenv("BUILD_WORKING_DIRECTORY");
  if (working != nullptr && !absl::StartsWith(output, "/")) {
    absl::SetFlag(&FLAGS_output, protopage::JoinPath(working, output));
  }
  const absl::Status status = protopage::Run();
  if (!status.ok()) {
    protopage::LogError(status.message());
    return 1;
  }
  return 0;
}
