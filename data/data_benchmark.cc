// Images per second of each source, of augmentation, and of the loader with one worker.
//
//   ./bazelw run -c opt //data:data_benchmark
//
// CIFAR and folder images are made in a temporary folder; glyphs are read from their cache, after
// the first run has rendered them.
#include <benchmark/benchmark.h>
#include <turbojpeg.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/file.h"
#include "protopage/base/random.h"
#include "protopage/data/augment.h"
#include "protopage/data/cifar_type.h"
#include "protopage/data/decode_image.h"
#include "protopage/data/glyphs/font_face.h"
#include "protopage/data/glyphs/glyph_config.h"
#include "protopage/data/glyphs/glyph_renderer.h"
#include "protopage/data/loader.h"
#include "protopage/data/open_source.h"

namespace protopage {
namespace {

std::string Folder(const std::string& name) {
  const char* tmp = std::getenv("TMPDIR");
  return JoinPath(tmp == nullptr ? "/tmp" : tmp, absl::StrCat("protopage_data_benchmark/", name));
}

void Write(const std::string& path, const std::string& content) {
  FileSystem* fs = DefaultFileSystem();
  PROTOPAGE_CHECK(fs->CreateDirectories(DirectoryOf(path)).ok());
  PROTOPAGE_CHECK(WriteFileAtomically(fs, path, content).ok());
}

// 10,000 images in the official layout.
DataConfig CifarDataConfig() {
  DataConfig config;
  config.type = "cifar";
  CifarConfig& cifar = config.options.Mutable<CifarConfig>();
  cifar.data_dir = Folder("cifar");
  std::string content(10000 * 3074, '\0');
  RandomStream random(1, RandomPurpose::kTest, 0);
  for (size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i % 3074 < 2 ? i / 3074 % 20 : random.Below(256));
  }
  Write(JoinPath(cifar.data_dir, "cifar-100-binary/train.bin"), content);
  return config;
}

// 64 PNG images of 250 x 250, the size of LFW's.
DataConfig FolderDataConfig() {
  DataConfig config;
  config.type = "folder";
  config.image_size = 112;
  config.paths.target_train = Folder("folder");
  for (int i = 0; i < 64; ++i) {
    Image image;
    image.Reset(250, 250, 3);
    for (int p = 0; p < 250 * 250 * 3; ++p) {
      image.pixels[p] = static_cast<uint8_t>((p / 750 + p % 750 / 3 + i) % 256);
    }
    absl::StatusOr<std::string> png = EncodePng(image);
    PROTOPAGE_CHECK(png.ok());
    Write(JoinPath(config.paths.target_train, absl::StrCat("class", i % 4, "/", i, ".png")), *png);
  }
  return config;
}

// 64 JPEG files of 112 x 112, the size of aligned faces: gradients with a little noise.
std::vector<std::string> JpegFiles() {
  std::vector<std::string> files;
  const tjhandle encoder = tjInitCompress();
  for (int i = 0; i < 64; ++i) {
    RandomStream random(1, RandomPurpose::kTest, i);
    std::vector<uint8_t> pixels(112 * 112 * 3);
    for (int p = 0; p < 112 * 112 * 3; ++p) {
      pixels[p] = static_cast<uint8_t>((p / 336 + p % 336 / 3 + 2 * i + random.Below(16)) % 256);
    }
    unsigned char* jpeg = nullptr;
    unsigned long bytes = 0;  // NOLINT: TurboJPEG's type.
    PROTOPAGE_CHECK(tjCompress2(encoder, pixels.data(), 112, 0, 112, TJPF_RGB, &jpeg, &bytes,
                                TJSAMP_420, /*jpegQual=*/90, /*flags=*/0) == 0);
    files.emplace_back(reinterpret_cast<const char*>(jpeg), bytes);
    tjFree(jpeg);
  }
  tjDestroy(encoder);
  return files;
}

DataConfig JpegDataConfig() {
  DataConfig config;
  config.type = "folder";
  config.image_size = 112;
  config.paths.target_train = Folder("jpeg");
  const std::vector<std::string> files = JpegFiles();
  for (size_t i = 0; i < files.size(); ++i) {
    Write(JoinPath(config.paths.target_train, absl::StrCat("class", i % 4, "/", i, ".jpg")),
          files[i]);
  }
  return config;
}

DataConfig ConfigOf(const std::string& type) {
  if (type == "jpeg") return JpegDataConfig();
  if (type == "cifar") return CifarDataConfig();
  if (type == "folder") return FolderDataConfig();
  return DataConfig();
}

std::shared_ptr<const ImageSource> OpenTrain(const DataConfig& config) {
  auto source = OpenSource(config, Split::kTargetTrain);
  if (!source.ok()) std::fprintf(stderr, "%s\n", source.status().ToString().c_str());
  PROTOPAGE_CHECK(source.ok());
  return *std::move(source);
}

void BM_Read(benchmark::State& state, const std::string& type) {
  const auto source = OpenTrain(ConfigOf(type));
  Image image;
  int64_t record = 0;
  for (auto _ : state) {
    PROTOPAGE_CHECK(source->Read(record, &image).ok());
    benchmark::DoNotOptimize(image.pixels.data());
    record = (record + 7919) % source->size();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(BM_Read, cifar, "cifar");
BENCHMARK_CAPTURE(BM_Read, folder_png_250, "folder");
BENCHMARK_CAPTURE(BM_Read, glyphs, "glyphs");

void BM_Augment(benchmark::State& state, const std::string& type) {
  DataConfig config;
  config.type = type;
  const AugmentConfig augment = AugmentFor(config);
  Image image;
  image.Reset(32, 32, ChannelsFor(config));
  Image scratch;
  int64_t step = 0;
  for (auto _ : state) {
    RandomStream random(1, RandomPurpose::kAugment, step++);
    Augment(augment, random, &scratch, &image);
    benchmark::DoNotOptimize(image.pixels.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(BM_Augment, cifar, "cifar");
BENCHMARK_CAPTURE(BM_Augment, glyphs, "glyphs");

// The whole path of a training batch of 256 with one worker thread; the items are images.
void BM_Loader(benchmark::State& state, const std::string& type) {
  const DataConfig config = ConfigOf(type);
  const auto source = OpenTrain(config);
  LoaderOptions options;
  options.height = options.width = static_cast<int>(config.image_size);
  options.channels = ChannelsFor(config);
  options.augment = AugmentFor(config);
  Loader loader(source.get(), options);
  int64_t step = 0;
  auto submit = [&] {
    std::vector<int64_t> records(256);
    RandomStream random(1, RandomPurpose::kImageSampler, step);
    for (int64_t& r : records) r = static_cast<int64_t>(random.Below(source->size()));
    loader.Submit(step++, std::move(records));
  };
  for (int i = 0; i < 4; ++i) submit();
  for (auto _ : state) {
    submit();
    absl::StatusOr<ImageBatch> batch = loader.Next();
    PROTOPAGE_CHECK(batch.ok());
    loader.Recycle(*std::move(batch));
  }
  state.SetItemsProcessed(state.iterations() * 256);
}
BENCHMARK_CAPTURE(BM_Loader, cifar, "cifar")->UseRealTime();
BENCHMARK_CAPTURE(BM_Loader, folder_png_250, "folder")->UseRealTime();
BENCHMARK_CAPTURE(BM_Loader, folder_jpeg_112, "jpeg")->UseRealTime();
BENCHMARK_CAPTURE(BM_Loader, glyphs, "glyphs")->UseRealTime();

// The ceiling of BM_Loader/folder_jpeg_112: libjpeg-turbo alone, as the loader calls it, on files
// in memory.
void BM_DecodeJpeg(benchmark::State& state) {
  const std::vector<std::string> files = JpegFiles();
  std::vector<uint8_t> pixels(112 * 112 * 3);
  const tjhandle decoder = tjInitDecompress();
  size_t i = 0;
  for (auto _ : state) {
    const std::string& file = files[i++ % files.size()];
    PROTOPAGE_CHECK(tjDecompress2(decoder, reinterpret_cast<const unsigned char*>(file.data()),
                                  file.size(), pixels.data(), 112, 0, 112, TJPF_RGB,
                                  TJFLAG_ACCURATEDCT) == 0);
    benchmark::DoNotOptimize(pixels.data());
  }
  tjDestroy(decoder);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_DecodeJpeg);

void BM_RenderSpot(benchmark::State& state) {
  const GlyphConfig config;
  auto spec = ParseFontSpec(config.train_fonts[0]);
  PROTOPAGE_CHECK(spec.ok());
  auto face = FontFace::Open(config.font_dir, *spec);
  PROTOPAGE_CHECK(face.ok());
  Image image;
  uint32_t i = 0;
  for (auto _ : state) {
    RandomStream random(1, RandomPurpose::kRender, i);
    DrawSpot(**face, 0x4E00 + i++ % 0x5000, 32, 1.0f, random, &image);
    benchmark::DoNotOptimize(image.pixels.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_RenderSpot);

}  // namespace
}  // namespace protopage
