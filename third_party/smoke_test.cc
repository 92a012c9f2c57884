// Does one real thing with each library that protopage links, so that a
// machine whose libraries do not work fails here and not somewhere inside.

#include <ft2build.h>

#include <boost/context/detail/fcontext.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include FT_FREETYPE_H

#include <Eigen/Dense>

#include "absl/container/flat_hash_map.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cblas.h"
#include "faiss/IndexFlat.h"
#include "faiss/IndexIVFFlat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hdf5.h"
#include "jpeglib.h"
#include "nlohmann/json.hpp"
#include "png.h"
#include "turbojpeg.h"
#include "xxhash.h"
#include "zlib.h"

ABSL_FLAG(int, answer, 0, "What to parse.");

namespace {

using ::testing::ElementsAre;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/", name);
}

TEST(BoostContextTest, SwitchesToAnotherStackAndBack) {
  using boost::context::detail::jump_fcontext;
  using boost::context::detail::transfer_t;
  std::vector<char> stack(1 << 16);
  const auto context = boost::context::detail::make_fcontext(stack.data() + stack.size(),
                                                             stack.size(), [](transfer_t from) {
                                                               *static_cast<int*>(from.data) = 42;
                                                               jump_fcontext(from.fctx, nullptr);
                                                             });
  int answer = 0;
  jump_fcontext(context, &answer);
  EXPECT_EQ(answer, 42);
}

TEST(AbseilTest, StatusOrCarriesAnError) {
  const absl::StatusOr<int> result = absl::NotFoundError("row 3");
  EXPECT_EQ(result.status().ToString(), "NOT_FOUND: row 3");
}

TEST(AbseilTest, ParsesFlagsAndFormats) {
  char program[] = "program";
  char flag[] = "--answer=42";
  char* argv[] = {program, flag, nullptr};
  absl::ParseCommandLine(2, argv);
  EXPECT_EQ(absl::StrFormat("%03d", absl::GetFlag(FLAGS_answer)), "042");
}

TEST(AbseilTest, ContainersMutexTimeAndRandom) {
  absl::flat_hash_map<std::string, int> map = {{"a", 1}};
  absl::Mutex mutex;
  {
    absl::MutexLock lock(&mutex);
    map["b"] = 2;
  }
  EXPECT_EQ(map.size(), 2u);
  EXPECT_EQ(absl::FormatDuration(absl::Milliseconds(1500)), "1.5s");
  absl::BitGen gen;
  EXPECT_LT(absl::Uniform(gen, 0, 10), 10);
}

TEST(EigenTest, SolvesALinearSystem) {
  Eigen::Matrix2f a;
  a << 2, 0, 0, 4;
  const Eigen::Vector2f x = a.ldlt().solve(Eigen::Vector2f(2, 8));
  EXPECT_FLOAT_EQ(x(0), 1);
  EXPECT_FLOAT_EQ(x(1), 2);
}

TEST(OpenBlasTest, Multiplies) {
  const float a[] = {1, 2, 3, 4};
  const float b[] = {5, 6, 7, 8};
  float c[4] = {};
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
  EXPECT_THAT(c, ElementsAre(19, 22, 43, 50));
}

TEST(FaissTest, FindsTheNearestRow) {
  constexpr int kDim = 8;
  constexpr int kRows = 400;
  std::vector<float> rows(kRows * kDim);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i * i)));
  }
  faiss::IndexFlatL2 quantizer(kDim);
  faiss::IndexIVFFlat index(&quantizer, kDim, /*nlist=*/4);
  index.train(kRows, rows.data());
  index.add(kRows, rows.data());
  index.nprobe = 4;
  float distance = -1;
  faiss::Index::idx_t id = -1;
  index.search(1, rows.data() + 17 * kDim, 1, &distance, &id);
  EXPECT_EQ(id, 17);
  EXPECT_EQ(distance, 0);
}

TEST(Hdf5Test, WritesAndReadsACompressedDataset) {
  const std::string path = TempPath("smoke.h5");
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const hsize_t dims[] = {4};
  const hid_t space = H5Screate_simple(1, dims, nullptr);
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  ASSERT_GE(H5Pset_chunk(properties, 1, dims), 0);
  ASSERT_GE(H5Pset_deflate(properties, 6), 0);
  const hid_t dataset =
      H5Dcreate2(file, "x", H5T_NATIVE_INT, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  ASSERT_GE(dataset, 0);
  const int written[] = {1, 2, 3, 4};
  ASSERT_GE(H5Dwrite(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, written), 0);
  int read[4] = {};
  ASSERT_GE(H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read), 0);
  EXPECT_THAT(read, ElementsAre(1, 2, 3, 4));
  H5Dclose(dataset);
  H5Pclose(properties);
  H5Sclose(space);
  H5Fclose(file);
}

TEST(JpegTest, RoundTripsAFlatImage) {
  std::vector<unsigned char> pixels(16 * 16 * 3, 100);
  unsigned char* jpeg = nullptr;
  unsigned long jpeg_bytes = 0;  // NOLINT: the type of the library.
  const tjhandle encoder = tjInitCompress();
  ASSERT_EQ(tjCompress2(encoder, pixels.data(), 16, 0, 16, TJPF_RGB, &jpeg, &jpeg_bytes, TJSAMP_444,
                        90, 0),
            0);
  const tjhandle decoder = tjInitDecompress();
  std::vector<unsigned char> decoded(pixels.size());
  ASSERT_EQ(tjDecompress2(decoder, jpeg, jpeg_bytes, decoded.data(), 16, 0, 16, TJPF_RGB, 0), 0);
  EXPECT_NEAR(decoded[300], 100, 2);
  tjDestroy(encoder);
  tjDestroy(decoder);
  tjFree(jpeg);

  jpeg_error_mgr errors;
  EXPECT_NE(jpeg_std_error(&errors), nullptr);
}

TEST(PngTest, RoundTripsAnImage) {
  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  image.width = 2;
  image.height = 2;
  image.format = PNG_FORMAT_GRAY;
  const unsigned char pixels[] = {0, 50, 100, 150};
  const std::string path = TempPath("smoke.png");
  ASSERT_NE(png_image_write_to_file(&image, path.c_str(), 0, pixels, 0, nullptr), 0);
  png_image read;
  std::memset(&read, 0, sizeof(read));
  read.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&read, path.c_str()), 0);
  read.format = PNG_FORMAT_GRAY;
  unsigned char decoded[4] = {};
  ASSERT_NE(png_image_finish_read(&read, nullptr, decoded, 0, nullptr), 0);
  EXPECT_THAT(decoded, ElementsAre(0, 50, 100, 150));
}

TEST(FreeTypeTest, DrawsAHanCharacter) {
  const char* const kFont = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
  FT_Library library;
  ASSERT_EQ(FT_Init_FreeType(&library), 0);
  FT_Face face;
  if (FT_New_Face(library, kFont, 0, &face) != 0) {
    FT_Done_FreeType(library);
    GTEST_SKIP() << kFont << " is not there";
  }
  ASSERT_EQ(FT_Set_Pixel_Sizes(face, 0, 32), 0);
  ASSERT_EQ(FT_Load_Char(face, 0x6c34, FT_LOAD_RENDER), 0);  // Water.
  EXPECT_GT(face->glyph->bitmap.width, 16u);
  EXPECT_LE(face->glyph->bitmap.width, 40u);
  FT_Done_Face(face);
  FT_Done_FreeType(library);
}

TEST(XxHashTest, GivesThePublishedValueOfNothing) {
  EXPECT_EQ(XXH64("", 0, 0), 0xEF46DB3751D8E999ull);
  EXPECT_EQ(XXH3_64bits("", 0), 0x2D06800538D394C2ull);
}

TEST(ZlibTest, GivesThePublishedCrc) {
  const Bytef text[] = "123456789";
  EXPECT_EQ(crc32(0, text, 9), 0xCBF43926ul);
}

TEST(JsonTest, ReadsComments) {
  const nlohmann::json json =
      nlohmann::json::parse("{ \"a\": [1, 2] // two\n }", nullptr, false, /*ignore_comments=*/true);
  EXPECT_EQ(json.at("a").size(), 2u);
}

}  // namespace
