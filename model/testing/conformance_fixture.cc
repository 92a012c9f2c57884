#include "protopage/model/testing/conformance_fixture.h"

#include <cmath>
#include <utility>

#include "absl/status/statusor.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/float_dtype.h"

namespace protopage {

using reference::Array;

std::vector<float> RandomFloats(int64_t n, uint64_t stream, float low, float high) {
  RandomStream random(/*seed=*/1, RandomPurpose::kTest, stream);
  std::vector<float> values(n);
  for (float& value : values) value = random.Uniform(low, high);
  return values;
}

Array ToDouble(const std::vector<float>& x) { return Array(x.begin(), x.end()); }
Array Magnitudes(const std::vector<float>& x) {
  Array result(x.size());
  for (size_t i = 0; i < x.size(); ++i) result[i] = std::abs(static_cast<double>(x[i]));
  return result;
}

std::vector<float> UnitRows(int64_t rows, int64_t d, uint64_t stream) {
  std::vector<float> w = RandomFloats(rows * d, stream);
  for (int64_t i = 0; i < rows; ++i) {
    double square = 0.0;
    for (int64_t j = 0; j < d; ++j) square += static_cast<double>(w[i * d + j]) * w[i * d + j];
    for (int64_t j = 0; j < d; ++j) {
      w[i * d + j] = static_cast<float>(w[i * d + j] / std::sqrt(square));
    }
  }
  return w;
}

const std::vector<int64_t>& ConformanceSizes() {
  static const auto& sizes =
      *new std::vector<int64_t>{1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 1000, 70001};
  return sizes;
}

void BackendConformanceTest::SetUp() {
  absl::StatusOr<std::unique_ptr<Backend>> backend = GetParam().create();
  ASSERT_TRUE(backend.ok()) << backend.status();
  backend_ = *std::move(backend);
}

std::vector<float> BackendConformanceTest::Random(int64_t n, uint64_t stream, float low,
                                                  float high) {
  std::vector<float> values = RandomFloats(n, stream, low, high);
  for (float& value : values) value = RoundedTo(backend_->activation_dtype(), value);
  return values;
}

Tensor BackendConformanceTest::Upload(const Shape& shape, const std::vector<float>& values) {
  EXPECT_EQ(shape.num_elements(), static_cast<int64_t>(values.size()));
  Tensor x = backend_->Allocate(DType::kFloat32, shape).value();
  EXPECT_TRUE(backend_->CopyToDevice(values.data(), x).ok());
  return x;
}
Tensor BackendConformanceTest::UploadMap(const Shape& shape, const std::vector<float>& values) {
  EXPECT_EQ(shape.num_elements(), static_cast<int64_t>(values.size()));
  Tensor x = backend_->Allocate(backend_->activation_dtype(), shape).value();
  PROTOPAGE_EXPECT_OK(SetFloats(*backend_, values, x));
  return x;
}
Tensor BackendConformanceTest::UploadInts(const Shape& shape, const std::vector<int32_t>& values) {
  EXPECT_EQ(shape.num_elements(), static_cast<int64_t>(values.size()));
  Tensor x = backend_->Allocate(DType::kInt32, shape).value();
  EXPECT_TRUE(backend_->CopyToDevice(values.data(), x).ok());
  return x;
}
Tensor BackendConformanceTest::Empty(const Shape& shape) {
  return Upload(shape, std::vector<float>(shape.num_elements(), kNaN));
}
Tensor BackendConformanceTest::EmptyMap(const Shape& shape) {
  return UploadMap(shape, std::vector<float>(shape.num_elements(), kNaN));
}
std::vector<float> BackendConformanceTest::Download(const Tensor& x) {
  return GetFloats(*backend_, x).value();
}
void BackendConformanceTest::ExpectNear(const Tensor& actual, const Array& expected,
                                        const Array& magnitude, double factor,
                                        const std::string& what) {
  const std::vector<float> values = Download(actual);
  ASSERT_EQ(values.size(), expected.size()) << what;
  ASSERT_EQ(values.size(), magnitude.size()) << what;
  int failures = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    // Numbers below the smallest normal one may become zero.
    const double computed = factor * kEpsilon * magnitude[i] + std::numeric_limits<float>::min();
    const double tolerance =
        computed + RoundingTo(actual.dtype(), std::abs(expected[i]) + computed);
    // Written so that a NaN fails.
    if (std::abs(static_cast<double>(values[i]) - expected[i]) <= tolerance) continue;
    ADD_FAILURE() << what << ": element " << i << " is " << values[i] << ", expected "
                  << expected[i] << " within " << tolerance;
    if (++failures == 3) return;
  }
}
void BackendConformanceTest::ExpectNear(const Tensor& actual, const Array& expected, double factor,
                                        const std::string& what) {
  Array magnitude(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) magnitude[i] = std::abs(expected[i]);
  ExpectNear(actual, expected, magnitude, factor, what);
}
bool BackendConformanceTest::AllFinite(const std::vector<Tensor>& tensors) {
  const Tensor found = UploadInts({1}, {7});
  PROTOPAGE_EXPECT_OK(backend_->FindNonFinite(tensors, found));
  const int32_t value = DownloadInts(found)[0];
  EXPECT_TRUE(value == 0 || value == 1) << value;
  return value == 0;
}
std::vector<int32_t> BackendConformanceTest::DownloadInts(const Tensor& x) {
  std::vector<int32_t> values(x.num_elements());
  EXPECT_TRUE(backend_->CopyToHost(x, values.data()).ok());
  return values;
}

}  // namespace protopage
