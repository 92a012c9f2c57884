#include "protopage/third_party/versions.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <Eigen/Core>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "cblas.h"
#include "faiss/Index.h"
#include "hdf5.h"
#include "jpeglib.h"
#include "nlohmann/json.hpp"
#include "openblas_config.h"
#include "png.h"
#include "xxhash.h"
#include "zlib.h"

namespace protopage {
namespace {

template <typename... Parts>
std::string Dotted(int major, Parts... parts) {
  std::string version = absl::StrCat(major);
  ((version += absl::StrCat(".", parts)), ...);
  return version;
}

std::string Compiler() {
#if defined(__clang__)
  return absl::StrCat("Clang ", __clang_version__);
#elif defined(__GNUC__)
  return absl::StrCat("GCC ", Dotted(__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__), ", C++",
                      __cplusplus / 100 % 100);
#else
  return "unknown";
#endif
}

// What all code but the kernels that are chosen at start may use.
std::string Target() {
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
  const std::string target = "x86-64-v4";
#elif defined(__AVX2__) && defined(__FMA__) && defined(__BMI2__)
  const std::string target = "x86-64-v3";
#elif defined(__x86_64__)
  const std::string target = "x86-64";
#else
  const std::string target = "not x86-64";
#endif
#ifdef NDEBUG
  return absl::StrCat(target, ", optimised");
#else
  return absl::StrCat(target, ", with assertions");
#endif
}

std::string Abseil() {
#ifdef ABSL_LTS_RELEASE_VERSION
  return Dotted(ABSL_LTS_RELEASE_VERSION, ABSL_LTS_RELEASE_PATCH_LEVEL);
#else
  return "head";
#endif
}

// " OpenBLAS 0.3.21 " in the header.
std::string OpenBlas() {
  const std::string text = OPENBLAS_VERSION;
  const size_t first = text.find_first_of("0123456789");
  const size_t last = text.find_last_of("0123456789");
  return first == std::string::npos ? text : text.substr(first, last - first + 1);
}

// LIBJPEG_TURBO_VERSION is a bare 2.1.5.
#define PROTOPAGE_QUOTE(x) #x
#define PROTOPAGE_QUOTE_VALUE(x) PROTOPAGE_QUOTE(x)
constexpr char kJpegTurbo[] = PROTOPAGE_QUOTE_VALUE(LIBJPEG_TURBO_VERSION);
#undef PROTOPAGE_QUOTE_VALUE
#undef PROTOPAGE_QUOTE

}  // namespace

std::vector<ComponentVersion> ComponentVersions() {
  return {
      {"compiler", Compiler()},
      {"target", Target()},
      {"Abseil", Abseil()},
      {"Eigen", Dotted(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)},
      {"FAISS", Dotted(FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR, FAISS_VERSION_PATCH)},
      {"FreeType", Dotted(FREETYPE_MAJOR, FREETYPE_MINOR, FREETYPE_PATCH)},
      {"HDF5", Dotted(H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE)},
      {"libjpeg-turbo", kJpegTurbo},
      {"libpng", PNG_LIBPNG_VER_STRING},
      {"nlohmann/json", Dotted(NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                               NLOHMANN_JSON_VERSION_PATCH)},
      {"OpenBLAS", OpenBlas()},
      {"xxHash", Dotted(XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE)},
      {"zlib", ZLIB_VERSION},
  };
}

}  // namespace protopage
