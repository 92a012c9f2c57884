#include "protopage/model/cuda/cuda_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"
#include "protopage/model/testing/backend_conformance.h"
#include "protopage/model/testing/backend_factory.h"
#include "protopage/model/testing/float_dtype.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {
namespace {

using reference::Array;

BackendFactory Factory(const std::string& name, const CudaBackendOptions& options) {
  return {name, [=] { return NewCudaBackend(options); }};
}
BackendFactory Columns(const std::string& name, int64_t workspace_bytes,
                       Precision precision = Precision::kFloat32) {
  CudaBackendOptions options;
  options.convolutions = ConvolutionMethod::kColumns;
  options.workspace_bytes = workspace_bytes;
  options.precision = precision;
  return Factory(name, options);
}
BackendFactory Implicit(const std::string& name, Precision precision) {
  CudaBackendOptions options;
  options.convolutions = ConvolutionMethod::kImplicit;
  options.precision = precision;
  return Factory(name, options);
}

// Convolutions in one tile, in tiles of some images, in tiles of a few positions (less than a row
// of an image), and in tiles of one position. With feature maps of 16 bits, in one tile and in
// tiles of a few whole images. And without columns.
INSTANTIATE_TEST_SUITE_P(
    Cuda, BackendConformanceTest,
    testing::Values(Columns("float32", CudaBackendOptions().workspace_bytes),
                    Columns("some_tiles", 51200), Columns("small_tiles", 2048),
                    Columns("tiniest_tiles", 1),
                    Columns("bf16", CudaBackendOptions().workspace_bytes, Precision::kBf16),
                    Columns("fp16", CudaBackendOptions().workspace_bytes, Precision::kFp16),
                    Columns("bf16_some_tiles", 1 << 19, Precision::kBf16),
                    Implicit("float32_implicit", Precision::kFloat32),
                    Implicit("bf16_implicit", Precision::kBf16)),
    BackendFactoryName);

std::vector<float> RandomFloats(int64_t n, uint64_t stream) {
  RandomStream random(/*seed=*/3, RandomPurpose::kTest, stream);
  std::vector<float> values(n);
  for (float& value : values) value = random.Uniform(-1.0f, 1.0f);
  return values;
}

Array Magnitudes(const Array& x) {
  Array result = x;
  for (double& value : result) value = std::abs(value);
  return result;
}

// The error of rounding the inputs of a product to 16 bits or TF32.
struct Rounding {
  Precision precision;
  // The largest relative error of an input. bf16 has 8 significant bits, fp16 and TF32 have 11.
  // Rounding to nearest is off by half a unit in the last place. TF32 is allowed a whole unit,
  // because how a GPU rounds to it is not documented.
  double unit;
};
const std::vector<Rounding> kRoundings = {{Precision::kBf16, 1.0 / (1 << 8)},
                                          {Precision::kFp16, 1.0 / (1 << 11)},
                                          {Precision::kTf32, 1.0 / (1 << 10)}};

// The inputs as a backend with feature maps of `dtype` rounds them. Those of TF32 are not rounded
// here.
Array Rounded(const std::vector<float>& x, DType dtype) {
  Array result;
  for (const float value : x) result.push_back(RoundedTo(dtype, value));
  return result;
}

class CudaPrecisionTest : public testing::TestWithParam<Rounding> {
 protected:
  void SetUp() override {
    CudaBackendOptions options;
    options.precision = GetParam().precision;
    options.convolutions = ConvolutionMethod::kColumns;
    options.workspace_bytes = workspace_bytes_;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(backend_, NewCudaBackend(options));
    EXPECT_EQ(backend_->precision(), GetParam().precision);
  }

  Tensor Upload(const Shape& shape, const std::vector<float>& values) {
    Tensor x = backend_->Allocate(DType::kFloat32, shape).value();
    PROTOPAGE_EXPECT_OK(backend_->CopyToDevice(values.data(), x));
    return x;
  }
  Tensor Empty(const Shape& shape) {
    return Upload(shape, std::vector<float>(shape.num_elements(), NAN));
  }
  DType dtype() const { return backend_->activation_dtype(); }
  Tensor UploadMap(const Shape& shape, const std::vector<float>& values) {
    Tensor x = backend_->Allocate(dtype(), shape).value();
    PROTOPAGE_EXPECT_OK(SetFloats(*backend_, values, x));
    return x;
  }
  Tensor EmptyMap(const Shape& shape) {
    return UploadMap(shape, std::vector<float>(shape.num_elements(), NAN));
  }

  // Checks sums of `terms` products of inputs: `rounded` are the exact sums for rounded inputs,
  // `exact` for the inputs as they are, `magnitude` for their magnitudes. A feature map is rounded
  // when it is stored, `stores` times.
  void ExpectProducts(const Tensor& actual, const Array& rounded, const Array& exact,
                      const Array& magnitude, double terms, const std::string& what,
                      int64_t stores = 1) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> values, GetFloats(*backend_, actual));
    ASSERT_EQ(values.size(), exact.size());
    const double unit = GetParam().unit;
    const double sums = (terms + 4) / (1 << 24);  // Any order of summation in float32.
    double largest = 0.0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double error = std::abs(values[i] - exact[i]);
      const auto stored = [&](double of, double off) {
        // Each store but the last rounds a part of the sum.
        return off + RoundingTo(actual.dtype(), std::abs(of) + off) +
               static_cast<double>(stores - 1) * RoundingTo(actual.dtype(), magnitude[i] + off);
      };
      EXPECT_LE(error, stored(exact[i], (2 * unit + unit * unit + sums) * magnitude[i]))
          << what << " " << i;
      largest = std::max(largest, error / magnitude[i]);
      if (dtype() == DType::kFloat32) continue;
      // The rounding of the inputs is known, and everything else is in float32.
      EXPECT_LE(std::abs(values[i] - rounded[i]), stored(rounded[i], sums * magnitude[i]))
          << what << " " << i;
    }
    // The precision is in use, not float32, whose errors mostly cancel. cuBLAS may use float32
    // where TF32 is allowed; cublas_test checks that it does not for a large product.
    if (GetParam().precision == Precision::kFloat32) return;
    if (GetParam().precision == Precision::kTf32 && !implicit_) return;
    EXPECT_GT(largest, 4 * std::sqrt(terms + 4) / (1 << 24)) << what;
  }

  void ExpectConvolutionRounds(const Window2d& w, int64_t d_x_stores = 1);

  const int64_t workspace_bytes_ = 1 << 14;
  bool implicit_ = false;  // Whether convolutions use our own kernels.
  std::unique_ptr<Backend> backend_;
};

TEST_P(CudaPrecisionTest, MatMulRoundsItsInputs) {
  const int64_t rows = 33, cols = 20, depth = 24;
  const std::vector<float> a = RandomFloats(rows * depth, 1), b = RandomFloats(depth * cols, 2);
  const auto product = [&](const Array& x, bool ta, const Array& y, bool tb) {
    return reference::MatMul(x, ta, y, tb, rows, cols, depth);
  };
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const Tensor c = Empty({rows, cols});
      PROTOPAGE_ASSERT_OK(backend_->MatMul(
          Upload(ta ? Shape{depth, rows} : Shape{rows, depth}, a), ta,
          Upload(tb ? Shape{cols, depth} : Shape{depth, cols}, b), tb, 1.0f, 0.0f, c));
      const Array x(a.begin(), a.end()), y(b.begin(), b.end());
      ExpectProducts(c, product(Rounded(a, dtype()), ta, Rounded(b, dtype()), tb),
                     product(x, ta, y, tb), product(Magnitudes(x), ta, Magnitudes(y), tb), depth,
                     "MatMul");
    }
  }
}

// Checks convolution `w` on backend_, forward and backward.
void CudaPrecisionTest::ExpectConvolutionRounds(const Window2d& w, int64_t d_x_stores) {
  const Shape in = {w.batch, w.in_h, w.in_w, w.in_c}, out = {w.batch, w.out_h, w.out_w, w.out_c};
  const Shape kernel_shape = {w.kernel_h, w.kernel_w, w.in_c, w.out_c};
  const std::vector<float> x = RandomFloats(in.num_elements(), 3);
  const std::vector<float> k = RandomFloats(kernel_shape.num_elements(), 4);
  const std::vector<float> d_y = RandomFloats(out.num_elements(), 5);
  std::vector<float> y = RandomFloats(out.num_elements(), 6), masked = d_y;
  for (size_t i = 0; i < y.size(); ++i) {
    if (y[i] <= 0.0f) masked[i] = 0.0f;
  }
  const Array x1(x.begin(), x.end()), k1(k.begin(), k.end());
  const Array g1(masked.begin(), masked.end());
  const Array x2 = Rounded(x, dtype()), k2 = Rounded(k, dtype());
  const Array g2 = Rounded(masked, dtype());
  const int64_t taps = w.kernel_h * w.kernel_w, positions = w.batch * w.out_h * w.out_w;

  const Tensor ty = EmptyMap(out);
  PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, UploadMap(in, x), Upload(kernel_shape, k),
                                              Tensor(),
                                              /*relu=*/false, ty));
  ExpectProducts(
      ty, reference::Conv2dForward(w, x2, k2, {}), reference::Conv2dForward(w, x1, k1, {}),
      reference::Conv2dForward(w, Magnitudes(x1), Magnitudes(k1), {}), taps * w.in_c, "y");

  // The same sums with a bias and relu.
  const std::vector<float> added = RandomFloats(w.out_c, 8);
  const Tensor rectified = EmptyMap(out);
  PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, UploadMap(in, x), Upload(kernel_shape, k),
                                              Upload({w.out_c}, added), /*relu=*/true, rectified));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> sums, GetFloats(*backend_, ty));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> results, GetFloats(*backend_, rectified));
  for (size_t i = 0; i < sums.size(); ++i) {
    const float expected = std::max(0.0f, sums[i] + added[i % w.out_c]);
    // Both are rounded when they are stored; the sum without the bias only in the first case.
    EXPECT_NEAR(results[i], expected, RoundingTo(dtype(), sums[i]) + RoundingTo(dtype(), expected))
        << i;
  }

  const Tensor d_x = EmptyMap(in), d_w = Empty(kernel_shape), d_bias = Empty({w.out_c});
  PROTOPAGE_ASSERT_OK(backend_->Conv2dBackward(w, UploadMap(in, x), Upload(kernel_shape, k),
                                               UploadMap(out, y), /*relu=*/true,
                                               UploadMap(out, d_y), d_x, d_w, d_bias));
  const auto rounded = reference::Conv2dBackward(w, x2, k2, g2);
  const auto exact = reference::Conv2dBackward(w, x1, k1, g1);
  const auto size = reference::Conv2dBackward(w, Magnitudes(x1), Magnitudes(k1), Magnitudes(g1));
  ExpectProducts(d_x, rounded.d_x, exact.d_x, size.d_x, taps * w.out_c, "d_x", d_x_stores);
  ExpectProducts(d_w, rounded.d_w, exact.d_w, size.d_w, positions, "d_w");
  // A sum over the feature map.
  std::vector<float> bias(w.out_c);
  PROTOPAGE_ASSERT_OK(backend_->CopyToHost(d_bias, bias.data()));
  for (int64_t c = 0; c < w.out_c; ++c) {
    EXPECT_NEAR(bias[c], rounded.d_bias[c], positions * size.d_bias[c] / (1 << 24));
  }
}

TEST_P(CudaPrecisionTest, ConvolutionsRoundTheirInputs) {
  for (const int64_t kernel : {1, 3}) {
    for (const int64_t channels : {3, 8}) {
      Window2d w;
      w.batch = 2;
      w.in_h = w.out_h = 5, w.in_w = w.out_w = 6;
      w.in_c = channels, w.out_c = 9;
      w.kernel_h = w.kernel_w = kernel;
      w.pad_top = w.pad_left = kernel / 2;
      ExpectConvolutionRounds(w);
    }
  }
}

TEST_P(CudaPrecisionTest, AnImageOfManyTilesIsRoundedOnceATile) {
  Window2d w;
  w.batch = 2;
  w.in_h = w.out_h = 11, w.in_w = w.out_w = 12;
  w.in_c = 8, w.out_c = 9;
  w.kernel_h = w.kernel_w = 3;
  w.pad_top = w.pad_left = 1;
  const int64_t rows = workspace_bytes_ / static_cast<int64_t>(sizeof(float) * 9 * 8);
  ASSERT_LT(rows, w.out_h * w.out_w);
  // The largest number of tiles that an image may be in.
  ExpectConvolutionRounds(w, w.out_h * w.out_w / rows + 2);
}

using CudaImplicitTest = CudaPrecisionTest;

TEST_P(CudaImplicitTest, ConvolutionsRoundTheirInputs) {
  CudaBackendOptions options;
  options.precision = GetParam().precision;
  options.convolutions = ConvolutionMethod::kImplicit;
  implicit_ = true;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(backend_, NewCudaBackend(options));
  struct Case {
    int64_t batch, in_h, in_w, in_c, out_c, kernel_h, kernel_w, stride, pad;
  };
  const Case cases[] = {
      {2, 5, 6, 32, 8, 3, 3, 1, 1},     // Less than a block.
      {1, 12, 12, 32, 72, 1, 1, 1, 0},  // Two blocks of positions, and of channels.
      {2, 5, 5, 32, 40, 3, 3, 2, 1},    // A stride.
      {1, 4, 4, 96, 32, 1, 1, 1, 0},    // Three chunks of a tap.
      {2, 4, 9, 8, 64, 1, 3, 1, 1},     // d_x with two chunks of each tap; not square.
      {3, 19, 19, 32, 8, 1, 1, 1, 0},   // d_w in two parts.
      {2, 9, 9, 3, 32, 3, 3, 1, 1},     // Channels with padding.
      {1, 8, 11, 5, 40, 3, 3, 2, 1},    // Two blocks of channels, of which the second is not full.
      {2, 5, 6, 12, 72, 3, 3, 1, 1},    // Taps that begin within a chunk.
      {1, 7, 7, 20, 8, 5, 1, 1, 2},     // d_w in two blocks of rows.
  };
  for (const Case& c : cases) {
    Window2d w;
    w.batch = c.batch, w.in_h = c.in_h, w.in_w = c.in_w, w.in_c = c.in_c, w.out_c = c.out_c;
    w.kernel_h = c.kernel_h, w.kernel_w = c.kernel_w, w.stride_h = w.stride_w = c.stride;
    w.pad_top = std::min(c.pad, c.kernel_h - 1);
    w.pad_left = std::min(c.pad, c.kernel_w - 1);
    w.out_h = (c.in_h + 2 * w.pad_top - c.kernel_h) / c.stride + 1;
    w.out_w = (c.in_w + 2 * w.pad_left - c.kernel_w) / c.stride + 1;
    ExpectConvolutionRounds(w);
  }
}

std::string NameOfRounding(const testing::TestParamInfo<Rounding>& info) {
  return std::string(PrecisionName(info.param.precision));
}
INSTANTIATE_TEST_SUITE_P(Cuda, CudaPrecisionTest, testing::ValuesIn(kRoundings), NameOfRounding);
INSTANTIATE_TEST_SUITE_P(Cuda, CudaImplicitTest,
                         testing::Values(kRoundings[0], kRoundings[1], kRoundings[2],
                                         Rounding{Precision::kFloat32, 1.0 / (1 << 22)}),
                         NameOfRounding);

// Without columns, a float32 product is three products of TF32.
TEST(CudaBackendTest, Float32IsAsPreciseWithoutColumnsAsWithThem) {
  Window2d w;
  w.batch = 1;
  w.in_h = w.in_w = 10, w.out_h = w.out_w = 8;
  w.in_c = w.out_c = 64;
  w.kernel_h = w.kernel_w = 3;
  const Shape in = {1, 10, 10, 64}, kernel = {3, 3, 64, 64}, out = {1, 8, 8, 64};
  const std::vector<float> x = RandomFloats(in.num_elements(), 1);
  const std::vector<float> k = RandomFloats(kernel.num_elements(), 2);
  const Array expected =
      reference::Conv2dForward(w, Array(x.begin(), x.end()), Array(k.begin(), k.end()), {});
  const auto error_of = [&](ConvolutionMethod method) -> absl::StatusOr<double> {
    CudaBackendOptions options;
    options.convolutions = method;
    PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, NewCudaBackend(options));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor tx, backend->Allocate(DType::kFloat32, in));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor tk, backend->Allocate(DType::kFloat32, kernel));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor ty, backend->Allocate(DType::kFloat32, out));
    PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(x.data(), tx));
    PROTOPAGE_RETURN_IF_ERROR(backend->CopyToDevice(k.data(), tk));
    PROTOPAGE_RETURN_IF_ERROR(backend->Conv2dForward(w, tx, tk, Tensor(), /*relu=*/false, ty));
    std::vector<float> y(out.num_elements());
    PROTOPAGE_RETURN_IF_ERROR(backend->CopyToHost(ty, y.data()));
    double squares = 0.0, size = 0.0;
    for (size_t i = 0; i < y.size(); ++i) {
      squares += (y[i] - expected[i]) * (y[i] - expected[i]);
      size += expected[i] * expected[i];
    }
    return std::sqrt(squares / size);
  };
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double columns, error_of(ConvolutionMethod::kColumns));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const double implicit, error_of(ConvolutionMethod::kImplicit));
  RecordProperty("columns", absl::StrCat(columns));
  RecordProperty("implicit", absl::StrCat(implicit));
  EXPECT_LT(implicit, 2 * columns) << columns;
  EXPECT_GT(implicit, 0.0);
}

// The device may copy long after the call, but the caller may reuse its array at once.
TEST(CudaBackendTest, CopyToDeviceHasReadItsSourceWhenItReturns) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  // A small copy, one larger than a stage (4 MiB), one larger than both stages, and copies that
  // reach the end of a partly filled stage.
  for (const int64_t n : {5, 1300000, 3000000, 1000, 1048500}) {
    const std::vector<float> values = RandomFloats(n, 7);
    std::vector<float> source = values;
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x, backend->Allocate(DType::kFloat32, {n}));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor y, backend->Allocate(DType::kFloat32, {n}));
    PROTOPAGE_ASSERT_OK(backend->CopyToDevice(source.data(), x));
    std::fill(source.begin(), source.end(), 0.0f);
    PROTOPAGE_ASSERT_OK(backend->CopyToDevice(source.data(), y));
    std::vector<float> copied(n);
    PROTOPAGE_ASSERT_OK(backend->CopyToHost(x, copied.data()));
    EXPECT_TRUE(copied == values) << n;
    PROTOPAGE_ASSERT_OK(backend->CopyToHost(y, copied.data()));
    EXPECT_TRUE(copied == source) << n;
  }
}

TEST(CudaBackendTest, TensorsOutliveTheBackend) {
  Tensor x;
  {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(x, backend->Allocate(DType::kFloat32, {1000}));
    PROTOPAGE_ASSERT_OK(backend->Fill(x, 1.0f));
  }
  EXPECT_EQ(x.num_elements(), 1000);
}

TEST(CudaBackendTest, ALossWithoutASlotIsNotFinite) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Backend> backend, NewCudaBackend());
  const auto upload = [&](DType dtype, const Shape& shape, const void* values) {
    Tensor x = backend->Allocate(dtype, shape).value();
    PROTOPAGE_EXPECT_OK(backend->CopyToDevice(values, x));
    return x;
  };
  const std::vector<float> cosines = {0.5f, 0.1f, 0.5f, 0.1f, 0.5f, 0.1f};
  const std::vector<int32_t> slots = {1, 2, -1};
  const std::vector<float> nothing(6);
  const Tensor losses = upload(DType::kFloat32, {3}, nothing.data());
  PROTOPAGE_ASSERT_OK(backend->MarginSoftmax({}, upload(DType::kFloat32, {3, 2}, cosines.data()),
                                             upload(DType::kInt32, {3}, slots.data()), 1.0f, losses,
                                             upload(DType::kFloat32, {3, 2}, nothing.data()),
                                             upload(DType::kInt32, {3}, nothing.data())));
  std::vector<float> found(3);
  PROTOPAGE_ASSERT_OK(backend->CopyToHost(losses, found.data()));
  EXPECT_TRUE(std::isfinite(found[0]));
  EXPECT_TRUE(std::isnan(found[1]));
  EXPECT_TRUE(std::isnan(found[2]));
}

TEST(CudaBackendTest, ADeviceThatTheMachineLacksIsRefused) {
  CudaBackendOptions options;
  options.device = 99;
  EXPECT_THAT(NewCudaBackend(options),
              StatusIs(absl::StatusCode::kInvalidArgument, "GPU 99 is outside [0, "));
}

absl::StatusOr<std::string> DescriptionOfANewBackend() {
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCudaBackend());
  PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, backend->Allocate(DType::kFloat32, {256, 32, 32, 3}));
  std::string name = backend->Description();
  return name;
}

absl::StatusOr<Precision> PrecisionOfABackendWithOptions() {
  CudaBackendOptions options;
  options.precision = Precision::kTf32;
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, NewCudaBackend(options));
  return backend->precision();
}

TEST(CudaBackendTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::string name, DescriptionOfANewBackend());
  EXPECT_EQ(name.substr(0, 6), "cuda (");
}

TEST(CudaOptionsTest, TheExampleOfTheHeader) {
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Precision precision, PrecisionOfABackendWithOptions());
  EXPECT_EQ(precision, Precision::kTf32);
}

}  // namespace
}  // namespace protopage
