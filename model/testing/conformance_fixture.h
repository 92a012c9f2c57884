// BackendConformanceTest: the fixture of the conformance suite, and the values its tests share. A
// suite is one file of tests that is linked into the test of every backend:
//
//   TEST_P(BackendConformanceTest, FillsWithAValue) {
//     const Tensor x = Empty({3});
//     PROTOPAGE_ASSERT_OK(backend_->Fill(x, 2.0f));
//     ExpectNear(x, {2.0, 2.0, 2.0}, /*factor=*/0, "Fill");
//   }
//
// model/testing/backend_conformance.h has all of them.
#ifndef PROTOPAGE_MODEL_TESTING_CONFORMANCE_FIXTURE_H_
#define PROTOPAGE_MODEL_TESTING_CONFORMANCE_FIXTURE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/model/backend.h"
#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon() / 2;  // Of one rounding.
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Uniform in [low, high], keyed by `stream`.
std::vector<float> RandomFloats(int64_t n, uint64_t stream, float low = -1.0f, float high = 1.0f);
// Random rows [rows, d] of unit length.
std::vector<float> UnitRows(int64_t rows, int64_t d, uint64_t stream);
reference::Array ToDouble(const std::vector<float>& x);
reference::Array Magnitudes(const std::vector<float>& x);
// Sizes around the widths of vectors and the sizes of tasks.
const std::vector<int64_t>& ConformanceSizes();

class BackendConformanceTest : public testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override;

  // Uniform in [low, high], and representable in the activation_dtype().
  std::vector<float> Random(int64_t n, uint64_t stream, float low = -1.0f, float high = 1.0f);

  // Tensors of float32, of the activation_dtype() (feature maps) and of int32.
  Tensor Upload(const Shape& shape, const std::vector<float>& values);
  Tensor UploadMap(const Shape& shape, const std::vector<float>& values);
  Tensor UploadInts(const Shape& shape, const std::vector<int32_t>& values);
  // Filled with NaN, so that an element that is not written shows.
  Tensor Empty(const Shape& shape);
  Tensor EmptyMap(const Shape& shape);
  std::vector<float> Download(const Tensor& x);
  std::vector<int32_t> DownloadInts(const Tensor& x);
  bool AllFinite(const std::vector<Tensor>& tensors);

  // Expects |actual - expected| <= factor * epsilon * magnitude, element by element, plus the
  // rounding error of storing `actual`. `factor` is the number of roundings on the way to an
  // element, which are relative to `magnitude` (by default |expected|).
  void ExpectNear(const Tensor& actual, const reference::Array& expected,
                  const reference::Array& magnitude, double factor, const std::string& what);
  void ExpectNear(const Tensor& actual, const reference::Array& expected, double factor,
                  const std::string& what);

  std::unique_ptr<Backend> backend_;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_TESTING_CONFORMANCE_FIXTURE_H_
