#include "protopage/model/testing/backend_conformance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/philox.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/float_dtype.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {
namespace {

using reference::Array;

constexpr double kEpsilon = std::numeric_limits<float>::epsilon() / 2;  // Of one rounding.
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomFloats(int64_t n, uint64_t stream, float low = -1.0f, float high = 1.0f) {
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

Window2d MakeWindow(int64_t batch, int64_t in_h, int64_t in_w, int64_t in_c, int64_t out_c,
                    int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w,
                    bool same) {
  Window2d w;
  w.batch = batch;
  w.in_h = in_h, w.in_w = in_w, w.in_c = in_c, w.out_c = out_c;
  w.kernel_h = kernel_h, w.kernel_w = kernel_w;
  w.stride_h = stride_h, w.stride_w = stride_w;
  if (same) {
    w.out_h = (in_h + stride_h - 1) / stride_h;
    w.out_w = (in_w + stride_w - 1) / stride_w;
    w.pad_top = std::max<int64_t>(0, (w.out_h - 1) * stride_h + kernel_h - in_h) / 2;
    w.pad_left = std::max<int64_t>(0, (w.out_w - 1) * stride_w + kernel_w - in_w) / 2;
  } else {
    w.out_h = (in_h - kernel_h) / stride_h + 1;
    w.out_w = (in_w - kernel_w) / stride_w + 1;
  }
  return w;
}

std::string Describe(const Window2d& w) {
  return absl::StrCat("[", w.batch, ", ", w.in_h, ", ", w.in_w, ", ", w.in_c, "] * [", w.kernel_h,
                      ", ", w.kernel_w, "] / [", w.stride_h, ", ", w.stride_w, "] + [", w.pad_top,
                      ", ", w.pad_left, "] -> [", w.out_h, ", ", w.out_w, ", ", w.out_c, "]");
}

std::vector<Window2d> ConvolutionWindows() {
  std::vector<Window2d> windows = {
      MakeWindow(2, 9, 7, 3, 32, 3, 3, 1, 1, true),     // A first layer.
      MakeWindow(1, 6, 6, 32, 64, 3, 3, 1, 1, false),   // One image.
      MakeWindow(3, 5, 7, 5, 7, 3, 3, 2, 2, true),      // Channels that fill no vector.
      MakeWindow(2, 4, 4, 16, 16, 1, 1, 1, 1, false),   // A product in disguise.
      MakeWindow(2, 5, 5, 8, 24, 1, 1, 2, 2, false),    // Pixels that no window reads.
      MakeWindow(19, 4, 4, 4, 3, 3, 3, 1, 1, false),    // Several images a block.
      MakeWindow(35, 3, 3, 6, 20, 3, 3, 1, 1, false),   // One position an image.
      MakeWindow(1, 14, 13, 33, 17, 3, 3, 1, 1, true),  // More positions than one pass sums.
      MakeWindow(2, 9, 10, 3, 18, 7, 7, 2, 2, true),    // ResNet's first layer.
      MakeWindow(2, 6, 5, 4, 33, 5, 5, 1, 1, true),
      MakeWindow(2, 5, 9, 2, 5, 1, 3, 1, 2, true),  // Not square.
      MakeWindow(2, 9, 5, 2, 5, 3, 1, 2, 1, false), MakeWindow(1, 1, 1, 1, 1, 1, 1, 1, 1, false),
      MakeWindow(2, 8, 8, 3, 4, 3, 3, 3, 3, false),     // A rest that no window reaches.
      MakeWindow(2, 7, 5, 8, 8, 2, 2, 2, 2, true),      // Padded at the end alone.
      MakeWindow(1, 2, 3, 4, 5, 3, 3, 1, 1, true),      // Smaller than the kernel.
      MakeWindow(3, 4, 4, 64, 130, 3, 3, 1, 1, false),  // A kernel of many floats,
      MakeWindow(9, 4, 3, 65, 128, 3, 3, 1, 1, true),   // and padded.
      MakeWindow(5, 19, 14, 2, 6, 3, 3, 1, 1, true),    // A gradient that sums over many positions.
      // Those of whole vectors of channels:
      MakeWindow(1, 17, 19, 32, 32, 3, 3, 1, 1,
                 true),                                // More tiles than fit in a group; half ones.
      MakeWindow(37, 4, 4, 32, 64, 3, 3, 1, 1, true),  // Several images in a group.
      MakeWindow(2, 7, 9, 64, 32, 3, 3, 1, 1, false),  // Not square.
      MakeWindow(3, 6, 6, 64, 128, 3, 3, 1, 1, false),  // A kernel of many floats,
      MakeWindow(2, 4, 6, 96, 192, 3, 3, 1, 1, true),   // and padded.
  };
  // PyTorch's padding before a stride: 1 on each side, of which the last may stay unread.
  Window2d torch = MakeWindow(2, 8, 8, 4, 16, 3, 3, 2, 2, false);
  torch.pad_top = torch.pad_left = 1;
  torch.out_h = torch.out_w = 4;
  windows.push_back(torch);
  return windows;
}

std::vector<Window2d> PoolingWindows() {
  return {
      MakeWindow(2, 6, 6, 32, 32, 2, 2, 2, 2, false),
      MakeWindow(1, 7, 5, 3, 3, 2, 2, 2, 2, false),   // A rest that no window reaches.
      MakeWindow(3, 7, 6, 19, 19, 3, 3, 2, 2, true),  // Overlapping, padded.
      MakeWindow(2, 4, 4, 8, 8, 4, 4, 1, 1, false),   // The whole image.
      MakeWindow(1, 5, 4, 1, 1, 3, 2, 1, 1, true),
  };
}

Shape InShape(const Window2d& w) { return {w.batch, w.in_h, w.in_w, w.in_c}; }
Shape OutShape(const Window2d& w) { return {w.batch, w.out_h, w.out_w, w.out_c}; }
Shape KernelShape(const Window2d& w) { return {w.kernel_h, w.kernel_w, w.in_c, w.out_c}; }

// Sizes around the widths of vectors and the sizes of tasks.
const std::vector<int64_t> kSizes = {1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 1000, 70001};

}  // namespace

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

// --- Memory --------------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, AllocatesZeros) {
  const Tensor x = backend_->Allocate(DType::kFloat32, {3, 5}).value();
  EXPECT_EQ(x.shape(), (Shape{3, 5}));
  EXPECT_EQ(Download(x), std::vector<float>(15, 0.0f));
  const Tensor n = backend_->Allocate(DType::kInt32, {7}).value();
  EXPECT_EQ(DownloadInts(n), std::vector<int32_t>(7, 0));
  EXPECT_EQ(backend_->Allocate(DType::kFloat32, {0, 5}).value().num_elements(), 0);
  EXPECT_FALSE(backend_->Description().empty());
}

TEST_P(BackendConformanceTest, AnImpossibleAllocationSaysHowMuchWasAsked) {
  const absl::StatusOr<Tensor> x =
      backend_->Allocate(DType::kFloat32, {int64_t{1} << 20, int64_t{1} << 30});
  ASSERT_FALSE(x.ok());
  EXPECT_EQ(x.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(x.status().message().find(absl::StrCat(int64_t{1} << 52)), absl::string_view::npos)
      << x.status();
}

TEST_P(BackendConformanceTest, CopiesWholeTensorsAndViews) {
  const std::vector<float> values = RandomFloats(6 * 4, 1);
  const Tensor x = Upload({6, 4}, values);
  const Tensor y = Empty({3, 4});
  PROTOPAGE_ASSERT_OK(backend_->Copy(x.Slice(2, 3), y));
  EXPECT_EQ(Download(y), std::vector<float>(values.begin() + 8, values.begin() + 20));
  PROTOPAGE_ASSERT_OK(backend_->Fill(x.Slice(5, 1), 2.5f));
  PROTOPAGE_ASSERT_OK(backend_->Synchronize());
  std::vector<float> expected = values;
  std::fill(expected.begin() + 20, expected.end(), 2.5f);
  EXPECT_EQ(Download(x), expected);
}

TEST_P(BackendConformanceTest, UploadsAreSeenByWhatFollowsThem) {
  // As double-buffered steps do: what the step before works on stays as it is.
  constexpr int64_t kRows = 700, kDim = 33;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(kRows * kDim * sizeof(float)));
  auto* const pinned = static_cast<float*>(host->data());
  EXPECT_EQ(pinned[0], 0.0f);
  EXPECT_GE(host->bytes(), kRows * kDim * static_cast<int64_t>(sizeof(float)));
  const Tensor buffers[2] = {Empty({kRows, kDim}), Empty({kRows, kDim})};
  PROTOPAGE_ASSERT_OK(backend_->Synchronize());
  for (uint64_t step = 0; step < 4; ++step) {
    const std::vector<float> values = RandomFloats(kRows * kDim, 60 + step);
    std::copy(values.begin(), values.end(), pinned);
    PROTOPAGE_ASSERT_OK(backend_->Scale(2.0f, buffers[(step + 1) % 2]));
    PROTOPAGE_ASSERT_OK(backend_->Upload(pinned, buffers[step % 2]));
    PROTOPAGE_ASSERT_OK(backend_->FinishUploads());
    const Tensor sum = Empty({kRows, kDim});
    PROTOPAGE_ASSERT_OK(backend_->Add(buffers[step % 2], buffers[step % 2], sum));
    std::vector<float> expected(values);
    for (float& value : expected) value += value;
    EXPECT_EQ(Download(sum), expected);  // Waits, so that `pinned` is free again.
  }
}

TEST_P(BackendConformanceTest, DownloadsBringWhatWasThereWhenTheyWereCalled) {
  constexpr int64_t kSize = 1000;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(2 * kSize * sizeof(float)));
  auto* const values = static_cast<float*>(host->data());
  const Tensor x = Empty({kSize});
  for (const float first : {1.0f, 3.0f}) {
    PROTOPAGE_ASSERT_OK(backend_->Fill(x, first));
    PROTOPAGE_ASSERT_OK(backend_->Download(x, values));
    PROTOPAGE_ASSERT_OK(backend_->Fill(x, first + 1.0f));
    PROTOPAGE_ASSERT_OK(backend_->Download(x, values + kSize));
    PROTOPAGE_ASSERT_OK(backend_->FinishDownloads());
    EXPECT_EQ(std::vector<float>(values, values + kSize), std::vector<float>(kSize, first));
    EXPECT_EQ(std::vector<float>(values + kSize, values + 2 * kSize),
              std::vector<float>(kSize, first + 1.0f));
  }
}

TEST_P(BackendConformanceTest, RunWorksOnWhatIsThereNow) {
  constexpr int64_t kSize = 1003;
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Buffer> host,
                                 backend_->AllocateHost(kSize * sizeof(float)));
  const Tensor x = Empty({kSize}), y = Empty({kSize}),
               sum = Upload({kSize}, std::vector<float>(kSize));
  const Tensor found = UploadInts({1}, {0});
  const std::unique_ptr<Recording> recording = backend_->NewRecording();
  uint64_t step = 0;
  int calls = 0;
  const auto operations = [&]() -> absl::Status {
    ++calls;
    PROTOPAGE_RETURN_IF_ERROR(backend_->Dropout(0.5f, {3, step}, x, y));
    PROTOPAGE_RETURN_IF_ERROR(backend_->Axpy(1.0f, y, sum));
    PROTOPAGE_RETURN_IF_ERROR(backend_->FindNonFinite({x, y}, found));
    return backend_->Download(y, host->data());
  };
  std::vector<float> expected_sum(kSize);
  // Made here: where memory is given back, what was recorded is forgotten.
  const Tensor expected = Empty({kSize});
  for (int run = 0; run < 5; ++run) {
    step = 10 + 3 * static_cast<uint64_t>(run);
    std::vector<float> values = RandomFloats(kSize, 80 + static_cast<uint64_t>(run));
    if (run == 3) values[kSize - 1] = kNaN;
    PROTOPAGE_ASSERT_OK(backend_->CopyToDevice(values.data(), x));
    // Numbers of another step in between.
    PROTOPAGE_ASSERT_OK(backend_->Dropout(0.5f, {3, step}, x, expected));
    PROTOPAGE_ASSERT_OK(backend_->Dropout(0.5f, {3, 1}, x, y));
    PROTOPAGE_ASSERT_OK(backend_->Run(recording.get(), step, operations));
    PROTOPAGE_ASSERT_OK(backend_->FinishDownloads());
    EXPECT_EQ(DownloadInts(found)[0], run == 3 ? 1 : 0);
    if (run == 3) {
      PROTOPAGE_ASSERT_OK(backend_->Fill(sum, 0.0f));
      expected_sum.assign(kSize, 0.0f);
      continue;
    }
    const auto* const downloaded = static_cast<const float*>(host->data());
    EXPECT_EQ(std::vector<float>(downloaded, downloaded + kSize), Download(expected)) << run;
    for (int64_t i = 0; i < kSize; ++i) expected_sum[i] += downloaded[i];
    EXPECT_EQ(Download(sum), expected_sum) << run;
  }
  // A GPU records them the second time.
  EXPECT_EQ(calls, backend_->device() == DeviceType::kCuda ? 2 : 5);
  PROTOPAGE_EXPECT_OK(recording->refusal());
}

TEST_P(BackendConformanceTest, RunCallsWhatWaitsOrCopiesFromTheHostEveryTime) {
  const Tensor x = Empty({3});
  for (const bool waits : {true, false}) {
    const std::unique_ptr<Recording> recording = backend_->NewRecording();
    for (int run = 0; run < 4; ++run) {
      const float value = static_cast<float>(run);
      std::vector<float> seen(3);
      PROTOPAGE_ASSERT_OK(backend_->Run(recording.get(), 0, [&]() -> absl::Status {
        if (waits) {
          PROTOPAGE_RETURN_IF_ERROR(backend_->Fill(x, value));
          return backend_->CopyToHost(x, seen.data());
        }
        return backend_->CopyToDevice(std::vector<float>(3, value).data(), x);
      }));
      EXPECT_EQ(waits ? seen : Download(x), std::vector<float>(3, value));
    }
  }
}

TEST_P(BackendConformanceTest, CopyRows) {
  for (const int64_t d : {1, 3, 8, 130, 512}) {
    const std::vector<float> src = RandomFloats(5 * d, 70), before = RandomFloats(7 * d, 71);
    const std::vector<int32_t> from = {4, -1, 0, 0, 3, -1, 1};
    const Tensor dst = Upload({7, d}, before);
    PROTOPAGE_ASSERT_OK(backend_->CopyRows(Upload({5, d}, src), UploadInts({7}, from), dst));
    std::vector<float> expected = before;
    for (int64_t i = 0; i < 7; ++i) {
      if (from[i] < 0) continue;
      std::copy_n(src.begin() + from[i] * d, d, expected.begin() + i * d);
    }
    EXPECT_EQ(Download(dst), expected) << d;
  }
  // Rank 1: a row is an element; and none at all.
  const Tensor numbers = Upload({3}, {1, 2, 3});
  PROTOPAGE_ASSERT_OK(
      backend_->CopyRows(Upload({2}, {8, 9}), UploadInts({3}, {1, -1, 0}), numbers));
  EXPECT_EQ(Download(numbers), (std::vector<float>{9, 2, 8}));
  PROTOPAGE_ASSERT_OK(backend_->CopyRows(numbers, UploadInts({0}, {}), Upload({0}, {})));
}

TEST_P(BackendConformanceTest, CopyRoundsToTheDtypeOfMaps) {
  for (const int64_t n : kSizes) {
    std::vector<float> values = RandomFloats(n, 72);
    const Tensor map = EmptyMap({n}), back = Empty({n});
    PROTOPAGE_ASSERT_OK(backend_->Copy(Upload({n}, values), map));
    for (float& value : values) value = RoundedTo(map.dtype(), value);
    EXPECT_EQ(Download(map), values);
    PROTOPAGE_ASSERT_OK(backend_->Copy(map, back));
    EXPECT_EQ(Download(back), values);
  }
}

// --- Elementwise ---------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, ImagesToFloat) {
  std::vector<uint8_t> pixels(70001);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
  const Tensor x = backend_->Allocate(DType::kUint8, {70001}).value();
  PROTOPAGE_ASSERT_OK(backend_->CopyToDevice(pixels.data(), x));
  const Tensor y = EmptyMap({70001});
  PROTOPAGE_ASSERT_OK(backend_->ImagesToFloat(x, 1.0f / 127.5f, -1.0f, y));
  Array expected(pixels.size()), magnitude(pixels.size());
  for (size_t i = 0; i < pixels.size(); ++i) {
    expected[i] = static_cast<double>(1.0f / 127.5f) * pixels[i] - 1.0;
    magnitude[i] = 3.0;
  }
  ExpectNear(y, expected, magnitude, 2, "ImagesToFloat");
}

TEST_P(BackendConformanceTest, Relu) {
  for (const int64_t n : kSizes) {
    const std::vector<float> x = Random(n, 2), d_y = Random(n, 3);
    std::vector<float> y(n), d_x(n);
    for (int64_t i = 0; i < n; ++i) {
      y[i] = std::max(0.0f, x[i]);
      d_x[i] = y[i] > 0.0f ? d_y[i] : 0.0f;
    }
    const Tensor tx = UploadMap({n}, x), ty = EmptyMap({n}), td = UploadMap({n}, d_y),
                 tdx = EmptyMap({n});
    PROTOPAGE_ASSERT_OK(backend_->ReluForward(tx, ty));
    EXPECT_EQ(Download(ty), y);
    PROTOPAGE_ASSERT_OK(backend_->ReluBackward(ty, td, tdx));
    EXPECT_EQ(Download(tdx), d_x);
    PROTOPAGE_ASSERT_OK(backend_->ReluForward(tx, tx));
    EXPECT_EQ(Download(tx), y);
    PROTOPAGE_ASSERT_OK(backend_->ReluBackward(ty, td, td));
    EXPECT_EQ(Download(td), d_x);
  }
}

TEST_P(BackendConformanceTest, ReluPassesANanOn) {
  const Tensor x = UploadMap({9}, {1, -1, kNaN, 2, -2, 3, -3, 4, kNaN});
  PROTOPAGE_ASSERT_OK(backend_->ReluForward(x, x));
  const std::vector<float> y = Download(x);
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[8]));
}

TEST_P(BackendConformanceTest, AddAxpyScale) {
  for (const int64_t n : kSizes) {
    const std::vector<float> a = Random(n, 4), b = Random(n, 5);
    Array sum(n), axpy(n), scaled(n), magnitude(n);
    for (int64_t i = 0; i < n; ++i) {
      sum[i] = static_cast<double>(a[i]) + b[i];
      axpy[i] = -0.75 * a[i] + b[i];
      scaled[i] = -0.75 * a[i];
      magnitude[i] = std::abs(a[i]) + std::abs(b[i]);
    }
    const Tensor ta = UploadMap({n}, a), tb = UploadMap({n}, b), y = EmptyMap({n});
    PROTOPAGE_ASSERT_OK(backend_->Add(ta, tb, y));
    ExpectNear(y, sum, 1, "Add");
    PROTOPAGE_ASSERT_OK(backend_->Copy(ta, y));
    PROTOPAGE_ASSERT_OK(backend_->Add(y, tb, y));
    ExpectNear(y, sum, 1, "Add in place");
    PROTOPAGE_ASSERT_OK(backend_->Axpy(-0.75f, ta, tb));
    ExpectNear(tb, axpy, magnitude, 2, "Axpy");
    const Tensor floats = Upload({n}, a);
    PROTOPAGE_ASSERT_OK(backend_->Scale(-0.75f, floats));
    ExpectNear(floats, scaled, 1, "Scale");
  }
}

TEST_P(BackendConformanceTest, DropoutDrawsPhiloxByElement) {
  DropoutKey key;
  key.key = RandomKey(1, RandomPurpose::kDropout);
  key.step = (uint64_t{3} << 32) + 11;
  for (const int64_t n : kSizes) {
    const std::vector<float> x = Random(n, 6, 0.5f, 1.0f);
    for (const float rate : {0.0f, 0.25f, 0.9f}) {
      Array expected(n);
      for (int64_t i = 0; i < n; ++i) {
        const PhiloxBlock block = Philox4x32(key.key, key.step, static_cast<uint64_t>(i / 4));
        const bool kept = UnitFloat(block.word[i % 4]) >= rate;
        expected[i] = kept ? x[i] / (1.0 - static_cast<double>(rate)) : 0.0;
      }
      const Tensor tx = UploadMap({n}, x), y = EmptyMap({n});
      PROTOPAGE_ASSERT_OK(backend_->Dropout(rate, key, tx, y));
      ExpectNear(y, expected, 4, absl::StrCat("Dropout ", rate));
      PROTOPAGE_ASSERT_OK(backend_->Dropout(rate, key, tx, tx));
      EXPECT_EQ(Download(tx), Download(y));
    }
  }
}

// --- Windows -------------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, Conv2dForward) {
  for (const Window2d& w : ConvolutionWindows()) {
    const std::string what = Describe(w);
    const std::vector<float> x = Random(InShape(w).num_elements(), 7);
    const std::vector<float> k = Random(KernelShape(w).num_elements(), 8);
    const std::vector<float> bias = Random(w.out_c, 9);
    const Tensor tx = UploadMap(InShape(w), x), tk = Upload(KernelShape(w), k);
    const double roundings = static_cast<double>(w.kernel_h * w.kernel_w * w.in_c) + 2;
    for (const bool with_bias : {false, true}) {
      const Array expected = reference::Conv2dForward(w, ToDouble(x), ToDouble(k),
                                                      with_bias ? ToDouble(bias) : Array());
      const Array magnitude = reference::Conv2dForward(w, Magnitudes(x), Magnitudes(k),
                                                       with_bias ? Magnitudes(bias) : Array());
      const Tensor tb = with_bias ? Upload({w.out_c}, bias) : Tensor();
      const Tensor y = EmptyMap(OutShape(w));
      PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, tx, tk, tb, /*relu=*/false, y));
      ExpectNear(y, expected, magnitude, roundings, "Conv2dForward " + what);

      Array rectified = expected;
      for (double& value : rectified) value = std::max(0.0, value);
      const Tensor r = EmptyMap(OutShape(w));
      PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, tx, tk, tb, /*relu=*/true, r));
      ExpectNear(r, rectified, magnitude, roundings, "with relu " + what);
    }
  }
}

TEST_P(BackendConformanceTest, Conv2dBackward) {
  for (const Window2d& w : ConvolutionWindows()) {
    const std::vector<float> x = Random(InShape(w).num_elements(), 10);
    const std::vector<float> k = Random(KernelShape(w).num_elements(), 11);
    const std::vector<float> d_y = Random(OutShape(w).num_elements(), 12);
    // Any array will do as the forward output: it only says where the relu was open.
    std::vector<float> y = Random(OutShape(w).num_elements(), 13);
    for (float& value : y) value = std::max(0.0f, value);
    const Tensor tx = UploadMap(InShape(w), x), tk = Upload(KernelShape(w), k);
    const Tensor ty = UploadMap(OutShape(w), y);
    const int64_t positions = w.batch * w.out_h * w.out_w;
    const int64_t taps = w.kernel_h * w.kernel_w;
    for (const bool relu : {false, true}) {
      for (const bool all : {false, true}) {  // Whether d_x and d_bias are wanted.
        const std::string what = absl::StrCat("Conv2dBackward ", Describe(w), relu ? " relu" : "");
        std::vector<float> masked = d_y;
        for (size_t i = 0; i < masked.size(); ++i) {
          if (relu && !(y[i] > 0.0f)) masked[i] = 0.0f;
        }
        const auto expected =
            reference::Conv2dBackward(w, ToDouble(x), ToDouble(k), ToDouble(masked));
        const auto magnitude =
            reference::Conv2dBackward(w, Magnitudes(x), Magnitudes(k), Magnitudes(masked));
        const Tensor td = UploadMap(OutShape(w), d_y), d_w = Empty(KernelShape(w));
        const Tensor d_x = all ? EmptyMap(InShape(w)) : Tensor();
        const Tensor d_bias = all ? Empty({w.out_c}) : Tensor();
        PROTOPAGE_ASSERT_OK(
            backend_->Conv2dBackward(w, tx, tk, relu ? ty : Tensor(), relu, td, d_x, d_w, d_bias));
        ExpectNear(d_w, expected.d_w, magnitude.d_w, positions + 2, "d_w of " + what);
        if (!all) continue;
        ExpectNear(d_x, expected.d_x, magnitude.d_x, taps * w.out_c + 2, "d_x of " + what);
        ExpectNear(d_bias, expected.d_bias, magnitude.d_bias, positions + 2, "d_bias of " + what);
      }
    }
  }
}

TEST_P(BackendConformanceTest, MaxPool2d) {
  for (const Window2d& w : PoolingWindows()) {
    std::vector<float> x = Random(InShape(w).num_elements(), 14);
    for (float& value : x) value = std::round(4.0f * value);  // So that there are ties.
    const std::vector<float> d_y = Random(OutShape(w).num_elements(), 15);
    const auto expected = reference::MaxPool2dForward(w, ToDouble(x));
    const Tensor y = EmptyMap(OutShape(w)), d_x = EmptyMap(InShape(w));
    const Tensor argmax = backend_->Allocate(DType::kInt32, OutShape(w)).value();
    PROTOPAGE_ASSERT_OK(backend_->MaxPool2dForward(w, UploadMap(InShape(w), x), y, argmax));
    EXPECT_EQ(ToDouble(Download(y)), expected.y) << Describe(w);
    EXPECT_EQ(DownloadInts(argmax), expected.argmax) << Describe(w);
    PROTOPAGE_ASSERT_OK(backend_->MaxPool2dBackward(w, UploadMap(OutShape(w), d_y), argmax, d_x));
    const int64_t windows = w.kernel_h * w.kernel_w;
    ExpectNear(d_x, reference::MaxPool2dBackward(w, ToDouble(d_y), expected.argmax),
               reference::MaxPool2dBackward(w, Magnitudes(d_y), expected.argmax), windows,
               "MaxPool2dBackward " + Describe(w));
  }
}

TEST_P(BackendConformanceTest, GlobalAveragePool) {
  struct Case {
    int64_t batch, h, w, c;
  };
  for (const Case& s :
       {Case{2, 4, 4, 512}, Case{5, 3, 7, 9}, Case{1, 1, 1, 1}, Case{3, 1, 2, 33}}) {
    const int64_t pixels = s.h * s.w;
    const std::vector<float> x = Random(s.batch * pixels * s.c, 16);
    const std::vector<float> d_y = Random(s.batch * s.c, 17);
    const Tensor y = Empty({s.batch, s.c}), d_x = EmptyMap({s.batch, s.h, s.w, s.c});
    PROTOPAGE_ASSERT_OK(
        backend_->GlobalAveragePoolForward(UploadMap({s.batch, s.h, s.w, s.c}, x), y));
    ExpectNear(y, reference::GlobalAveragePoolForward(ToDouble(x), s.batch, pixels, s.c),
               reference::GlobalAveragePoolForward(Magnitudes(x), s.batch, pixels, s.c),
               static_cast<double>(pixels) + 2, "GlobalAveragePoolForward");
    PROTOPAGE_ASSERT_OK(backend_->GlobalAveragePoolBackward(Upload({s.batch, s.c}, d_y), d_x));
    ExpectNear(d_x, reference::GlobalAveragePoolBackward(ToDouble(d_y), s.batch, pixels, s.c), 3,
               "GlobalAveragePoolBackward");
  }
}

// --- Normalisation -------------------------------------------------------------------------------

struct NormCase {
  int64_t rows, c;
  float offset;  // Far from zero beside the spread, as raw pixels make it.
};
const std::vector<NormCase> kNormCases = {{1300, 32, 0.0f}, {700, 3, 8.0f}, {300, 36, 0.0f},
                                          {50, 17, -3.0f},  {2, 64, 0.0f},  {1, 5, 1.0f}};

TEST_P(BackendConformanceTest, BatchNormForward) {
  const float epsilon = 1e-3f, momentum = 0.99f;
  for (const NormCase& s : kNormCases) {
    const std::string what = absl::StrCat("batch norm [", s.rows, ", ", s.c, "] ");
    const Shape shape = {s.rows, s.c}, columns = {s.c};
    const std::vector<float> x = Random(s.rows * s.c, 18, s.offset - 1, s.offset + 1);
    const std::vector<float> gamma = Random(s.c, 19, 0.5f, 2.0f);
    const std::vector<float> beta = Random(s.c, 20);
    const std::vector<float> mean0 = Random(s.c, 21);
    const std::vector<float> var0 = Random(s.c, 22, 0.5f, 2.0f);
    const auto expected = reference::BatchNormTrain(ToDouble(x), s.rows, s.c, ToDouble(gamma),
                                                    ToDouble(beta), epsilon);
    // A mean over n rows is off by n epsilon max |x|; the variance, as a sum of squares of
    // differences from it, by n epsilon of itself and the square of that.
    const double largest = std::abs(s.offset) + 1.0;
    const double roundings = static_cast<double>(s.rows) + 8;
    Array mean(s.c), var(s.c), running_size(s.c), sizes(s.c, largest);
    for (int64_t j = 0; j < s.c; ++j) {
      mean[j] = momentum * static_cast<double>(mean0[j]) + (1.0 - momentum) * expected.mean[j];
      var[j] = momentum * static_cast<double>(var0[j]) + (1.0 - momentum) * expected.variance[j];
      running_size[j] = 4.0 + largest * 0.02 * roundings;
    }
    Array y_size(s.rows * s.c);
    for (int64_t i = 0; i < s.rows * s.c; ++i) {
      const int64_t j = i % s.c;
      y_size[i] = gamma[j] * expected.inv_std[j] * largest * roundings +
                  (std::abs(expected.y[i]) + std::abs(beta[j])) * roundings;
    }
    const Tensor tx = UploadMap(shape, x);
    const Tensor tgamma = Upload(columns, gamma), tbeta = Upload(columns, beta);
    for (const bool relu : {false, true}) {
      Array y = expected.y;
      for (double& value : y) value = relu ? std::max(0.0, value) : value;
      const Tensor running_mean = Upload(columns, mean0), running_var = Upload(columns, var0);
      const Tensor saved_mean = Empty(columns), saved_inv_std = Empty(columns),
                   ty = EmptyMap(shape);
      PROTOPAGE_ASSERT_OK(backend_->BatchNormTrain(tx, tgamma, tbeta, epsilon, momentum, relu,
                                                   running_mean, running_var, saved_mean,
                                                   saved_inv_std, ty));
      ExpectNear(ty, y, y_size, 2, what + "y");
      ExpectNear(saved_mean, expected.mean, sizes, roundings, what + "mean");
      ExpectNear(saved_inv_std, expected.inv_std, roundings, what + "inv_std");
      ExpectNear(running_mean, mean, running_size, 1, what + "running mean");
      ExpectNear(running_var, var, running_size, 1, what + "running var");

      Array inferred(s.rows * s.c), inferred_size(s.rows * s.c);
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        const int64_t j = i % s.c;
        const double scale = gamma[j] / std::sqrt(static_cast<double>(var0[j]) + epsilon);
        const double value = (static_cast<double>(x[i]) - mean0[j]) * scale + beta[j];
        inferred[i] = relu ? std::max(0.0, value) : value;
        inferred_size[i] = (std::abs(x[i]) + std::abs(mean0[j])) * scale + std::abs(beta[j]);
      }
      PROTOPAGE_ASSERT_OK(backend_->BatchNormInfer(
          tx, tgamma, tbeta, epsilon, relu, Upload(columns, mean0), Upload(columns, var0), ty));
      ExpectNear(ty, inferred, inferred_size, 8, what + "inferred");
    }
  }
}

TEST_P(BackendConformanceTest, BatchNormBackward) {
  for (const NormCase& s : kNormCases) {
    const Shape shape = {s.rows, s.c}, columns = {s.c};
    const std::vector<float> x = Random(s.rows * s.c, 23, s.offset - 1, s.offset + 1);
    const std::vector<float> gamma = Random(s.c, 24, 0.5f, 2.0f);
    const std::vector<float> d_y = Random(s.rows * s.c, 25);
    const std::vector<float> mean = Random(s.c, 26, s.offset - 0.1f, s.offset + 0.1f);
    const std::vector<float> inv_std = Random(s.c, 27, 1.0f, 2.0f);
    std::vector<float> y = Random(s.rows * s.c, 28);
    for (float& value : y) value = std::max(0.0f, value);
    for (const bool relu : {false, true}) {
      const std::string what =
          absl::StrCat("BatchNormBackward [", s.rows, ", ", s.c, "]", relu ? " relu " : " ");
      std::vector<float> masked = d_y;
      for (size_t i = 0; i < masked.size(); ++i) {
        if (relu && !(y[i] > 0.0f)) masked[i] = 0.0f;
      }
      const auto expected =
          reference::BatchNormBackward(ToDouble(x), s.rows, s.c, ToDouble(gamma), ToDouble(mean),
                                       ToDouble(inv_std), ToDouble(masked));
      // Sums of magnitudes, where x - mean carries the rounding of its operands.
      Array d_gamma_size(s.c), d_beta_size(s.c), d_x_size(s.rows * s.c);
      const double spread = 2.0 * (std::abs(s.offset) + 1.1);
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        d_beta_size[i % s.c] += std::abs(masked[i]);
        d_gamma_size[i % s.c] += std::abs(masked[i]) * spread * inv_std[i % s.c];
      }
      for (int64_t i = 0; i < s.rows * s.c; ++i) {
        const int64_t j = i % s.c;
        const double n = static_cast<double>(s.rows);
        d_x_size[i] =
            gamma[j] * inv_std[j] *
            (std::abs(masked[i]) + d_beta_size[j] / n + spread * inv_std[j] * d_gamma_size[j] / n);
      }
      const Tensor tx = UploadMap(shape, x), td = UploadMap(shape, d_y), d_x = EmptyMap(shape);
      const Tensor d_gamma = Empty(columns), d_beta = Empty(columns);
      PROTOPAGE_ASSERT_OK(backend_->BatchNormBackward(
          tx, Upload(columns, gamma), Upload(columns, mean), Upload(columns, inv_std),
          relu ? UploadMap(shape, y) : Tensor(), relu, td, d_x, d_gamma, d_beta));
      const double roundings = static_cast<double>(s.rows) + 8;
      ExpectNear(d_gamma, expected.d_gamma, d_gamma_size, roundings, what + "d_gamma");
      ExpectNear(d_beta, expected.d_beta, d_beta_size, roundings, what + "d_beta");
      ExpectNear(d_x, expected.d_x, d_x_size, roundings, what + "d_x");
    }
  }
}

TEST_P(BackendConformanceTest, L2NormalizeRows) {
  for (const auto& [rows, d] :
       std::vector<std::pair<int64_t, int64_t>>{{5, 512}, {3, 7}, {1, 1}, {200, 33}}) {
    std::vector<float> x = Random(rows * d, 29, -3.0f, 3.0f);
    if (rows > 1) std::fill_n(x.begin(), d, 0.0f);       // A row of zeros,
    if (rows > 2) std::fill_n(x.begin() + d, d, 1e-7f);  // one below the least norm.
    const std::vector<float> d_y = Random(rows * d, 30);
    const auto expected = reference::L2NormalizeRows(ToDouble(x), rows, d);
    const Tensor y = Empty({rows, d}), norms = Empty({rows}), d_x = Empty({rows, d});
    PROTOPAGE_ASSERT_OK(backend_->L2NormalizeRows(Upload({rows, d}, x), y, norms));
    const double roundings = static_cast<double>(d) + 4;
    ExpectNear(y, expected.y, roundings, "L2NormalizeRows y");
    ExpectNear(norms, expected.norms, roundings, "L2NormalizeRows norms");

    const std::vector<float> y_host = Download(y), norms_host = Download(norms);
    const Array expected_d_x = reference::L2NormalizeRowsBackward(
        ToDouble(y_host), ToDouble(norms_host), ToDouble(d_y), rows, d);
    Array size(rows * d);
    for (int64_t i = 0; i < rows; ++i) {
      double along = 0.0;
      for (int64_t j = 0; j < d; ++j) along += std::abs(d_y[i * d + j] * y_host[i * d + j]);
      for (int64_t j = 0; j < d; ++j) {
        size[i * d + j] =
            (std::abs(d_y[i * d + j]) + along * std::abs(y_host[i * d + j])) / norms_host[i];
      }
    }
    PROTOPAGE_ASSERT_OK(backend_->L2NormalizeRowsBackward(y, norms, Upload({rows, d}, d_y), d_x));
    ExpectNear(d_x, expected_d_x, size, roundings, "L2NormalizeRowsBackward");
  }
}

// --- Matrices ------------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, MatMul) {
  struct Case {
    int64_t rows, cols, depth;
  };
  for (const Case& s : {Case{1, 1, 1}, Case{7, 5, 3}, Case{64, 30, 512}, Case{13, 100, 17},
                        Case{100, 17, 800}, Case{3, 512, 130}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const std::vector<float> a = Random(s.rows * s.depth, 31);
        const std::vector<float> b = Random(s.depth * s.cols, 32);
        const std::vector<float> c = Random(s.rows * s.cols, 33);
        const Array product =
            reference::MatMul(ToDouble(a), ta, ToDouble(b), tb, s.rows, s.cols, s.depth);
        const Array size =
            reference::MatMul(Magnitudes(a), ta, Magnitudes(b), tb, s.rows, s.cols, s.depth);
        const Tensor x = Upload(ta ? Shape{s.depth, s.rows} : Shape{s.rows, s.depth}, a);
        const Tensor y = Upload(tb ? Shape{s.cols, s.depth} : Shape{s.depth, s.cols}, b);
        for (const auto& [alpha, beta] :
             std::vector<std::pair<float, float>>{{1.0f, 0.0f}, {-0.3f, 1.0f}, {2.0f, 0.7f}}) {
          // With beta 0 what c held does not matter, not even a NaN.
          const Tensor z = beta == 0.0f ? Empty({s.rows, s.cols}) : Upload({s.rows, s.cols}, c);
          Array expected(product.size()), magnitude(product.size());
          for (size_t i = 0; i < product.size(); ++i) {
            expected[i] = alpha * product[i] + static_cast<double>(beta) * c[i];
            magnitude[i] = std::abs(alpha) * size[i] + std::abs(beta * c[i]);
          }
          PROTOPAGE_ASSERT_OK(backend_->MatMul(x, ta, y, tb, alpha, beta, z));
          ExpectNear(z, expected, magnitude, static_cast<double>(s.depth) + 4,
                     absl::StrCat("MatMul ", s.rows, " ", s.cols, " ", s.depth, ta ? " ta" : "",
                                  tb ? " tb" : "", " ", alpha, " ", beta));
        }
      }
    }
  }
}

TEST_P(BackendConformanceTest, Bias) {
  for (const auto& [rows, c] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 10}, {1100, 33}, {64, 512}}) {
    const std::vector<float> x = Random(rows * c, 34), bias = Random(c, 35);
    Array y(rows * c), sums(c), magnitude(c);
    for (int64_t i = 0; i < rows * c; ++i) {
      y[i] = static_cast<double>(x[i]) + bias[i % c];
      sums[i % c] += x[i];
      magnitude[i % c] += std::abs(x[i]);
    }
    const Tensor tx = Upload({rows, c}, x), ty = Empty({rows, c}), d_bias = Empty({c});
    PROTOPAGE_ASSERT_OK(backend_->BiasBackward(tx, d_bias));
    ExpectNear(d_bias, sums, magnitude, static_cast<double>(rows), "BiasBackward");
    PROTOPAGE_ASSERT_OK(backend_->BiasAdd(tx, Upload({c}, bias), ty));
    ExpectNear(ty, y, 1, "BiasAdd");
    PROTOPAGE_ASSERT_OK(backend_->BiasAdd(tx, Upload({c}, bias), tx));
    EXPECT_EQ(Download(tx), Download(ty));
  }
}

// --- Loss ----------------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, MarginSoftmax) {
  for (const auto& [rows, k] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 2}, {9, 30}, {64, 10}, {5, 257}}) {
    std::vector<float> cosines = RandomFloats(rows * k, 36, -0.95f, 0.95f);
    std::vector<int32_t> slots(rows);
    for (int64_t i = 0; i < rows; ++i) slots[i] = static_cast<int32_t>((i * 7) % k);
    if (rows > 2) cosines[1 * k + slots[1]] = -0.97f;  // On ArcFace's linear tail.
    for (const MarginKind kind :
         {MarginKind::kAdditiveCosine, MarginKind::kAdditiveAngle, MarginKind::kCombined}) {
      for (const float scale : {1.0f, 24.0f, 64.0f}) {
        MarginParams params;
        params.kind = kind;
        params.scale = scale;
        params.margin = kind == MarginKind::kAdditiveAngle ? 0.5f : 0.2f;
        params.m2 = 0.3f;
        const float grad_scale = 0.125f;
        const auto expected = reference::MarginSoftmax(params, ToDouble(cosines), slots, rows, k);
        // Logits, up to 2 scale apart, are off by a few roundings of that size, and so is the
        // logarithm of every probability. The derivative of the target's angle is steep.
        const double roundings = 8.0 * (2.0 * scale + 2.0);
        Array losses_size(rows), size(rows * k), d_cosines(rows * k);
        for (int64_t i = 0; i < rows; ++i) {
          losses_size[i] = 1.0 + std::abs(expected.losses[i]) / roundings;
          for (int64_t j = 0; j < k; ++j) {
            d_cosines[i * k + j] = grad_scale * expected.d_cosines[i * k + j];
            const double c = cosines[i * k + j];
            const double steep = j == slots[i] ? 1.0 / std::sqrt(1.0 - c * c) : 0.0;
            // A probability below exp(-87), near the smallest normal number, may be zero.
            size[i * k + j] = std::abs(d_cosines[i * k + j]) + grad_scale * scale * steep +
                              grad_scale * scale * std::exp(-87.0) / (roundings * kEpsilon);
          }
        }
        const Tensor losses = Empty({rows}), d = Empty({rows, k});
        const Tensor predicted = UploadInts({rows}, std::vector<int32_t>(rows, -1));
        PROTOPAGE_ASSERT_OK(backend_->MarginSoftmax(params, Upload({rows, k}, cosines),
                                                    UploadInts({rows}, slots), grad_scale, losses,
                                                    d, predicted));
        const std::string what = absl::StrCat("MarginSoftmax kind ", static_cast<int>(kind),
                                              " scale ", scale, " [", rows, ", ", k, "] ");
        ExpectNear(losses, expected.losses, losses_size, roundings, what + "losses");
        ExpectNear(d, d_cosines, size, roundings, what + "d_cosines");
        EXPECT_EQ(DownloadInts(predicted), expected.predicted) << what;
      }
    }
  }
}

TEST_P(BackendConformanceTest, MarginSoftmaxTakesTheLowestSlotOnTies) {
  const Tensor cosines = Upload({2, 4}, {0.1f, 0.5f, 0.5f, 0.2f, -0.3f, -0.3f, -0.3f, -0.3f});
  const Tensor losses = Empty({2}), d = Empty({2, 4}), predicted = UploadInts({2}, {-1, -1});
  PROTOPAGE_ASSERT_OK(
      backend_->MarginSoftmax({}, cosines, UploadInts({2}, {2, 3}), 1.0f, losses, d, predicted));
  EXPECT_EQ(DownloadInts(predicted), (std::vector<int32_t>{1, 0}));
}

TEST_P(BackendConformanceTest, MarginSoftmaxIsFiniteWhereTheAngleIsNot) {
  for (const MarginKind kind :
       {MarginKind::kAdditiveCosine, MarginKind::kAdditiveAngle, MarginKind::kCombined}) {
    MarginParams params;
    params.kind = kind;
    params.scale = 64.0f;
    params.margin = 0.5f;
    // Rounding takes cosines of unit rows a little past 1.
    const Tensor cosines = Upload({3, 2}, {1.0f, 0.0f, 1.0000001f, 0.0f, -1.0000001f, 0.9f});
    const Tensor losses = Empty({3}), d = Empty({3, 2}), predicted = UploadInts({3}, {-1, -1, -1});
    PROTOPAGE_ASSERT_OK(backend_->MarginSoftmax(params, cosines, UploadInts({3}, {0, 0, 0}), 1.0f,
                                                losses, d, predicted));
    EXPECT_TRUE(AllFinite({losses, d}));
  }
}

TEST_P(BackendConformanceTest, MarginSoftmaxShowsANan) {
  const Tensor cosines = Upload({1, 3}, {0.5f, kNaN, 0.1f});
  const Tensor losses = Empty({1}), d = Empty({1, 3}), predicted = UploadInts({1}, {-1});
  PROTOPAGE_ASSERT_OK(
      backend_->MarginSoftmax({}, cosines, UploadInts({1}, {0}), 1.0f, losses, d, predicted));
  EXPECT_FALSE(AllFinite({losses}));
}

TEST_P(BackendConformanceTest, FindNonFiniteFindsOneBadElement) {
  for (const int64_t n : kSizes) {
    std::vector<float> x = RandomFloats(n, 38, -1e38f, 1e38f);
    const Tensor good = Upload({n}, x);
    EXPECT_TRUE(AllFinite({good, good}));
    for (const float bad : {kNaN, -kNaN, INFINITY, -INFINITY}) {
      for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
        std::vector<float> y = x;
        y[at] = bad;
        EXPECT_FALSE(AllFinite({good, Upload({n}, y)})) << bad << " at " << at << " of " << n;
      }
    }
  }
  EXPECT_TRUE(AllFinite({}));
}

// --- Optimizers ----------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, ClipNormScalesAllTensorsTogether) {
  const std::vector<int64_t> sizes = {3, 33000, 17};
  const Tensor norm = Empty({1});
  std::vector<std::vector<float>> values;
  double squares = 0.0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    values.push_back(RandomFloats(sizes[i], 170 + i));
    for (const float x : values.back()) squares += static_cast<double>(x) * x;
  }
  const double length = std::sqrt(squares);
  const auto upload = [&] {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < sizes.size(); ++i) tensors.push_back(Upload({sizes[i]}, values[i]));
    return tensors;
  };
  for (const double factor : {0.25, 1.5}) {
    const std::vector<Tensor> tensors = upload();
    PROTOPAGE_ASSERT_OK(backend_->ClipNorm(tensors, static_cast<float>(factor * length), norm));
    EXPECT_NEAR(Download(norm)[0], length, 1e-7 * length);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (factor > 1) {
        EXPECT_EQ(Download(tensors[i]), values[i]);
        continue;
      }
      Array expected = ToDouble(values[i]);
      for (double& x : expected) x *= factor;
      ExpectNear(tensors[i], expected, 4, "ClipNorm");
    }
  }
  // What is not finite is for FindNonFinite to find.
  values[1][32999] = INFINITY;
  const std::vector<Tensor> tensors = upload();
  PROTOPAGE_ASSERT_OK(backend_->ClipNorm(tensors, 1.0f, norm));
  EXPECT_FALSE(std::isfinite(Download(norm)[0]));
  EXPECT_EQ(Download(tensors[1]), values[1]);
  PROTOPAGE_ASSERT_OK(backend_->ClipNorm({}, 1.0f, norm));
  EXPECT_EQ(Download(norm)[0], 0.0f);
}

TEST_P(BackendConformanceTest, AdamUpdatesAllParameters) {
  const std::vector<int64_t> sizes = {1, 5, 40000, 64};
  for (const int64_t t : {1, 2, 1000}) {
    for (const float weight_decay : {0.0f, 0.1f}) {
      AdamParams params;
      params.learning_rate = 0.01f;
      params.weight_decay = weight_decay;
      const double correction1 = 1.0 - std::pow(static_cast<double>(params.beta1), t);
      const double correction2 = 1.0 - std::pow(static_cast<double>(params.beta2), t);
      params.step_size = static_cast<float>(params.learning_rate / correction1);
      params.inverse_sqrt_bias2 = static_cast<float>(1.0 / std::sqrt(correction2));
      std::vector<ParamUpdate> updates;
      std::vector<Array> values, first, second;
      for (size_t p = 0; p < sizes.size(); ++p) {
        const int64_t n = sizes[p];
        const std::vector<float> w = RandomFloats(n, 100 + p), g = RandomFloats(n, 110 + p);
        const std::vector<float> m = RandomFloats(n, 120 + p);
        const std::vector<float> v = RandomFloats(n, 130 + p, 0.0f, 1.0f);
        ParamUpdate update = {Upload({n}, w), Upload({n}, g), Upload({n}, m), Upload({n}, v),
                              /*decay=*/p != 1};
        updates.push_back(update);
        values.push_back(ToDouble(w));
        first.push_back(ToDouble(m));
        second.push_back(ToDouble(v));
        const double b1 = params.beta1, b2 = params.beta2, lr = params.learning_rate;
        for (int64_t i = 0; i < n; ++i) {
          first[p][i] = b1 * first[p][i] + (1.0 - b1) * g[i];
          second[p][i] = b2 * second[p][i] + (1.0 - b2) * static_cast<double>(g[i]) * g[i];
          const double m_hat = first[p][i] / correction1;
          const double v_hat = second[p][i] / correction2;
          if (update.decay) values[p][i] -= lr * weight_decay * values[p][i];
          values[p][i] -= lr * m_hat / (std::sqrt(v_hat) + params.epsilon);
        }
      }
      PROTOPAGE_ASSERT_OK(backend_->AdamUpdate(params, updates));
      for (size_t p = 0; p < sizes.size(); ++p) {
        // 1 - beta in float is off by epsilon, which counts 1 / (1 - beta2) = 1000 times in a
        // state that starts at 0, and not where it starts at the size of the gradient.
        Array size(sizes[p], 1.0), update_size(sizes[p]);
        for (int64_t i = 0; i < sizes[p]; ++i) {
          const double step = params.learning_rate * std::abs(first[p][i]) / correction1 /
                              std::sqrt(second[p][i] / correction2);
          update_size[i] = 1.0 + 4.0 * std::abs(step) + 1e-2 / std::sqrt(second[p][i] + 1e-12);
        }
        ExpectNear(updates[p].state1, first[p], size, 4, "Adam m");
        ExpectNear(updates[p].state2, second[p], size, 4, "Adam v");
        ExpectNear(updates[p].value, values[p], update_size, 8, "Adam value");
      }
    }
  }
}

TEST_P(BackendConformanceTest, SgdUpdatesAllParameters) {
  const std::vector<int64_t> sizes = {3, 33000, 17};
  for (const float momentum : {0.0f, 0.9f}) {
    for (const bool nesterov : {false, true}) {
      SgdParams params;
      params.momentum = momentum;
      params.nesterov = nesterov;
      params.weight_decay = 0.05f;
      std::vector<ParamUpdate> updates;
      std::vector<Array> values, velocities;
      for (size_t p = 0; p < sizes.size(); ++p) {
        const int64_t n = sizes[p];
        const std::vector<float> w = RandomFloats(n, 140 + p), g = RandomFloats(n, 150 + p);
        const std::vector<float> v = RandomFloats(n, 160 + p);
        ParamUpdate update;
        update.value = Upload({n}, w);
        update.gradient = Upload({n}, g);
        if (momentum != 0.0f) update.state1 = Upload({n}, v);
        update.decay = p != 0;
        updates.push_back(update);
        values.push_back(ToDouble(w));
        velocities.push_back(ToDouble(v));
        for (int64_t i = 0; i < n; ++i) {
          const double decay = update.decay ? params.weight_decay : 0.0;
          const double gradient = g[i] + decay * w[i];
          double& velocity = velocities[p][i];
          velocity = momentum == 0.0f ? gradient : momentum * velocity + gradient;
          const double direction =
              nesterov && momentum != 0.0f ? gradient + momentum * velocity : velocity;
          values[p][i] -= params.learning_rate * direction;
        }
      }
      PROTOPAGE_ASSERT_OK(backend_->SgdUpdate(params, updates));
      for (size_t p = 0; p < sizes.size(); ++p) {
        const Array size(sizes[p], 2.0);
        ExpectNear(updates[p].value, values[p], size, 8, "Sgd value");
        if (momentum == 0.0f) continue;
        ExpectNear(updates[p].state1, velocities[p], size, 8, "Sgd velocity");
      }
    }
  }
}

TEST_P(BackendConformanceTest, RowMomentumFollowsTheReturnRule) {
  for (const auto& [k, d] : std::vector<std::pair<int64_t, int64_t>>{{1, 4}, {30, 512}, {70, 33}}) {
    RowMomentumParams params;
    params.learning_rate = 0.1f;
    const std::vector<float> w = UnitRows(k, d, 39);
    const std::vector<float> v = RandomFloats(k * d, 40, -0.1f, 0.1f);
    const std::vector<float> g = RandomFloats(k * d, 41, -0.1f, 0.1f);
    std::vector<int32_t> away(k);
    for (int64_t i = 0; i < k; ++i) away[i] = static_cast<int32_t>(i % 7 == 6 ? 100000 : i % 7);
    const Tensor tw = Upload({k, d}, w), tv = Upload({k, d}, v), tg = Upload({k, d}, g);
    PROTOPAGE_ASSERT_OK(backend_->RowMomentumUpdate(params, tw, tv, UploadInts({k}, away), tg));
    Array expected_w, expected_v;
    for (int64_t i = 0; i < k; ++i) {
      Array row(w.begin() + i * d, w.begin() + (i + 1) * d);
      Array velocity(v.begin() + i * d, v.begin() + (i + 1) * d);
      reference::RowMomentumUpdate(params, away[i], row, velocity,
                                   Array(g.begin() + i * d, g.begin() + (i + 1) * d));
      expected_w.insert(expected_w.end(), row.begin(), row.end());
      expected_v.insert(expected_v.end(), velocity.begin(), velocity.end());
    }
    // Sums are in double; an element is rounded a few times on its way, and through the
    // projections by its share, at most its row's norm, of the rounding of the others.
    const double norm = 0.2 * std::sqrt(static_cast<double>(d));
    ExpectNear(tw, expected_w, Array(k * d, 1.0 + norm), 16, "RowMomentum rows");
    ExpectNear(tv, expected_v, Array(k * d, 0.2 + norm), 16, "RowMomentum velocity");
  }
}

TEST_P(BackendConformanceTest, RowAdagrad) {
  for (const auto& [k, d] : std::vector<std::pair<int64_t, int64_t>>{{1, 4}, {30, 512}, {70, 33}}) {
    RowAdagradParams params;
    params.learning_rate = 0.1f;
    const std::vector<float> w = UnitRows(k, d, 42), h = RandomFloats(k, 43, 0.1f, 1.0f);
    const std::vector<float> g = RandomFloats(k * d, 44, -0.1f, 0.1f);
    const Tensor tw = Upload({k, d}, w), th = Upload({k}, h), tg = Upload({k, d}, g);
    PROTOPAGE_ASSERT_OK(backend_->RowAdagradUpdate(params, tw, th, tg));
    Array expected_w, expected_h = ToDouble(h);
    for (int64_t i = 0; i < k; ++i) {
      Array row(w.begin() + i * d, w.begin() + (i + 1) * d);
      reference::RowAdagradUpdate(params, row, expected_h[i],
                                  Array(g.begin() + i * d, g.begin() + (i + 1) * d));
      expected_w.insert(expected_w.end(), row.begin(), row.end());
    }
    const double norm = 0.2 * std::sqrt(static_cast<double>(d));
    ExpectNear(tw, expected_w, Array(k * d, 1.0 + norm), 16, "RowAdagrad rows");
    ExpectNear(th, expected_h, 16, "RowAdagrad accumulator");
  }
}

TEST_P(BackendConformanceTest, RowsThatNothingMovesKeepTheirBits) {
  const int64_t k = 3, d = 77;
  std::vector<float> w = UnitRows(k, d, 45);
  for (int64_t j = 0; j < d; ++j) w[d + j] *= 1.0000005f;  // Renormalising would change it.
  std::vector<float> g = RandomFloats(k * d, 46);
  std::fill(g.begin() + d, g.begin() + 2 * d, 0.0f);
  const std::vector<float> kept(w.begin() + d, w.begin() + 2 * d);
  const auto middle = [d = d](const std::vector<float>& x) {
    return std::vector<float>(x.begin() + d, x.begin() + 2 * d);
  };

  const Tensor momentum_w = Upload({k, d}, w), velocity = Upload({k, d}, std::vector<float>(k * d));
  PROTOPAGE_ASSERT_OK(backend_->RowMomentumUpdate({}, momentum_w, velocity,
                                                  UploadInts({k}, {0, 5, 0}), Upload({k, d}, g)));
  EXPECT_EQ(middle(Download(momentum_w)), kept);
  EXPECT_EQ(middle(Download(velocity)), std::vector<float>(d, 0.0f));
  EXPECT_NE(Download(momentum_w), w);

  const Tensor adagrad_w = Upload({k, d}, w), accumulator = Upload({k}, {0.5f, 0.25f, 0.5f});
  PROTOPAGE_ASSERT_OK(backend_->RowAdagradUpdate({}, adagrad_w, accumulator, Upload({k, d}, g)));
  EXPECT_EQ(middle(Download(adagrad_w)), kept);
  EXPECT_EQ(Download(accumulator)[1], 0.25f);
  EXPECT_NE(Download(adagrad_w), w);
}

// --- Everything ----------------------------------------------------------------------------------

TEST_P(BackendConformanceTest, TwoRunsGiveTheSameBits) {
  const auto first = RunEveryOperation(*backend_);
  PROTOPAGE_ASSERT_OK(first.status());
  // Between them scratch memory is used and left in another state.
  const Window2d w = MakeWindow(3, 11, 9, 20, 40, 3, 3, 1, 1, true);
  PROTOPAGE_ASSERT_OK(backend_->Conv2dForward(w, UploadMap(InShape(w), Random(3 * 11 * 9 * 20, 47)),
                                              Upload(KernelShape(w), Random(9 * 20 * 40, 48)),
                                              Tensor(), false, EmptyMap(OutShape(w))));
  const auto second = RunEveryOperation(*backend_);
  PROTOPAGE_ASSERT_OK(second.status());
  ASSERT_EQ(first->size(), second->size());
  for (size_t i = 0; i < first->size(); ++i) {
    EXPECT_EQ((*first)[i].bytes, (*second)[i].bytes) << (*first)[i].name;
  }
}

absl::StatusOr<std::vector<OperationOutput>> RunEveryOperation(Backend& backend) {
  std::vector<OperationOutput> outputs;
  uint64_t stream = 1000;
  const auto fill = [&](const Tensor& x, float low, float high) {
    return SetFloats(backend, RandomFloats(x.num_elements(), stream++, low, high), x);
  };
  const auto zeros = [&](const Shape& shape, DType dtype = DType::kFloat32) {
    return backend.Allocate(dtype, shape);
  };
  const auto random = [&](const Shape& shape, float low = -1.0f,
                          float high = 1.0f) -> absl::StatusOr<Tensor> {
    PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, zeros(shape));
    PROTOPAGE_RETURN_IF_ERROR(fill(x, low, high));
    return x;
  };
  const auto map = [&](const Shape& shape) { return zeros(shape, backend.activation_dtype()); };
  const auto random_map = [&](const Shape& shape) -> absl::StatusOr<Tensor> {
    PROTOPAGE_ASSIGN_OR_RETURN(Tensor x, map(shape));
    PROTOPAGE_RETURN_IF_ERROR(fill(x, -1.0f, 1.0f));
    return x;
  };
  const auto keep = [&](const std::string& name, const Tensor& x) {
    outputs.push_back({name, std::vector<uint8_t>(x.bytes())});
    return backend.CopyToHost(x, outputs.back().bytes.data());
  };

  const std::vector<Window2d> windows = {
      MakeWindow(37, 10, 9, 3, 32, 3, 3, 1, 1, true),
      MakeWindow(21, 8, 8, 32, 40, 3, 3, 1, 1, false),
      MakeWindow(37, 4, 4, 64, 144, 3, 3, 1, 1, false),
      MakeWindow(5, 6, 6, 70, 128, 3, 3, 2, 2, true),
  };
  for (const Window2d& w : windows) {
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, random_map(InShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor k, random(KernelShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor bias, random({w.out_c}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, map(OutShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_y, random_map(OutShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, map(InShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w, zeros(KernelShape(w)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_bias, zeros({w.out_c}));
    PROTOPAGE_RETURN_IF_ERROR(backend.Conv2dForward(w, x, k, bias, true, y));
    PROTOPAGE_RETURN_IF_ERROR(backend.Conv2dBackward(w, x, k, y, true, d_y, d_x, d_w, d_bias));
    PROTOPAGE_RETURN_IF_ERROR(keep("conv y " + Describe(w), y));
    PROTOPAGE_RETURN_IF_ERROR(keep("conv d_x " + Describe(w), d_x));
    PROTOPAGE_RETURN_IF_ERROR(keep("conv d_w " + Describe(w), d_w));
    PROTOPAGE_RETURN_IF_ERROR(keep("conv d_bias " + Describe(w), d_bias));
  }

  const Window2d pool = MakeWindow(7, 9, 9, 33, 33, 3, 3, 2, 2, true);
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, random_map(InShape(pool)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, map(OutShape(pool)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor argmax, zeros(OutShape(pool), DType::kInt32));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, map(InShape(pool)));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor average, zeros({pool.batch, pool.in_c}));
    PROTOPAGE_RETURN_IF_ERROR(backend.MaxPool2dForward(pool, x, y, argmax));
    PROTOPAGE_RETURN_IF_ERROR(backend.MaxPool2dBackward(pool, y, argmax, d_x));
    PROTOPAGE_RETURN_IF_ERROR(backend.GlobalAveragePoolForward(x, average));
    PROTOPAGE_RETURN_IF_ERROR(keep("max pool y", y));
    PROTOPAGE_RETURN_IF_ERROR(keep("max pool argmax", argmax));
    PROTOPAGE_RETURN_IF_ERROR(keep("max pool d_x", d_x));
    PROTOPAGE_RETURN_IF_ERROR(keep("average pool", average));
    PROTOPAGE_RETURN_IF_ERROR(backend.GlobalAveragePoolBackward(average, d_x));
    PROTOPAGE_RETURN_IF_ERROR(keep("average pool d_x", d_x));
  }

  const int64_t n = 100003;
  {
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, random_map({n}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, random_map({n}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor scaled, zeros({n}));
    PROTOPAGE_RETURN_IF_ERROR(backend.Dropout(0.25f, DropoutKey{5, 6}, x, x));
    PROTOPAGE_RETURN_IF_ERROR(backend.Axpy(0.3f, x, y));
    PROTOPAGE_RETURN_IF_ERROR(backend.Add(x, y, y));
    PROTOPAGE_RETURN_IF_ERROR(backend.ReluForward(y, y));
    PROTOPAGE_RETURN_IF_ERROR(backend.ReluBackward(y, x, x));
    PROTOPAGE_RETURN_IF_ERROR(backend.Copy(x, scaled));
    PROTOPAGE_RETURN_IF_ERROR(backend.Scale(1.7f, scaled));
    PROTOPAGE_RETURN_IF_ERROR(keep("elementwise x", scaled));
    PROTOPAGE_RETURN_IF_ERROR(keep("elementwise y", y));
  }

  {
    const Shape shape = {5000, 24}, columns = {24};
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor x, random_map(shape));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor y, map(shape));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_y, random_map(shape));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_x, map(shape));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor sum, random(shape));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor gamma, random(columns, 0.5f, 2.0f));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor beta, random(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor mean, zeros(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor var, zeros(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor saved_mean, zeros(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor saved_inv_std, zeros(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_gamma, zeros(columns));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_beta, zeros(columns));
    PROTOPAGE_RETURN_IF_ERROR(backend.BatchNormTrain(x, gamma, beta, 1e-3f, 0.99f, true, mean, var,
                                                     saved_mean, saved_inv_std, y));
    PROTOPAGE_RETURN_IF_ERROR(backend.BatchNormBackward(x, gamma, saved_mean, saved_inv_std, y,
                                                        true, d_y, d_x, d_gamma, d_beta));
    PROTOPAGE_RETURN_IF_ERROR(keep("batch norm y", y));
    PROTOPAGE_RETURN_IF_ERROR(keep("batch norm var", var));
    PROTOPAGE_RETURN_IF_ERROR(keep("batch norm d_x", d_x));
    PROTOPAGE_RETURN_IF_ERROR(keep("batch norm d_gamma", d_gamma));
    PROTOPAGE_RETURN_IF_ERROR(backend.BatchNormInfer(x, gamma, beta, 1e-3f, false, mean, var, y));
    PROTOPAGE_RETURN_IF_ERROR(keep("batch norm inferred", y));
    PROTOPAGE_RETURN_IF_ERROR(backend.BiasAdd(sum, beta, sum));
    PROTOPAGE_RETURN_IF_ERROR(backend.BiasBackward(sum, d_beta));
    PROTOPAGE_RETURN_IF_ERROR(keep("bias y", sum));
    PROTOPAGE_RETURN_IF_ERROR(keep("bias d_bias", d_beta));
  }

  {
    const int64_t b = 200, d = 130, k = 150;
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor features, random({b, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor rows, random({k, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f, zeros({b, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w, zeros({k, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor f_norms, zeros({b}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor w_norms, zeros({k}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor cosines, zeros({b, k}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor slots, zeros({b}, DType::kInt32));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor losses, zeros({b}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_cosines, zeros({b, k}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor predicted, zeros({b}, DType::kInt32));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_f, zeros({b, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_w, zeros({k, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor velocity, zeros({k, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor away, zeros({k}, DType::kInt32));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor accumulator, zeros({k}));
    PROTOPAGE_RETURN_IF_ERROR(backend.L2NormalizeRows(features, f, f_norms));
    PROTOPAGE_RETURN_IF_ERROR(backend.L2NormalizeRows(rows, w, w_norms));
    PROTOPAGE_RETURN_IF_ERROR(backend.MatMul(f, false, w, true, 1.0f, 0.0f, cosines));
    PROTOPAGE_RETURN_IF_ERROR(
        backend.MarginSoftmax({}, cosines, slots, 1.0f / b, losses, d_cosines, predicted));
    PROTOPAGE_RETURN_IF_ERROR(backend.MatMul(d_cosines, false, w, false, 1.0f, 0.0f, d_f));
    PROTOPAGE_RETURN_IF_ERROR(backend.MatMul(d_cosines, true, f, false, 1.0f, 0.0f, d_w));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor d_features, zeros({b, d}));
    PROTOPAGE_RETURN_IF_ERROR(backend.L2NormalizeRowsBackward(f, f_norms, d_f, d_features));
    PROTOPAGE_RETURN_IF_ERROR(keep("losses", losses));
    PROTOPAGE_RETURN_IF_ERROR(keep("d_cosines", d_cosines));
    PROTOPAGE_RETURN_IF_ERROR(keep("predicted", predicted));
    PROTOPAGE_RETURN_IF_ERROR(keep("d_features", d_features));
    PROTOPAGE_RETURN_IF_ERROR(keep("d_rows", d_w));
    PROTOPAGE_RETURN_IF_ERROR(backend.RowMomentumUpdate({}, w, velocity, away, d_w));
    PROTOPAGE_RETURN_IF_ERROR(keep("rows", w));
    PROTOPAGE_RETURN_IF_ERROR(keep("velocity", velocity));
    PROTOPAGE_RETURN_IF_ERROR(backend.RowAdagradUpdate({}, w, accumulator, d_w));
    PROTOPAGE_RETURN_IF_ERROR(keep("adagrad rows", w));
    PROTOPAGE_RETURN_IF_ERROR(keep("adagrad accumulator", accumulator));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor first_moment, random({b, d}));
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor second_moment, random({b, d}, 0.1f, 1.0f));
    const std::vector<ParamUpdate> updates = {
        {features, d_features, first_moment, second_moment, /*decay=*/true}};
    PROTOPAGE_ASSIGN_OR_RETURN(const Tensor norm, zeros({1}));
    PROTOPAGE_RETURN_IF_ERROR(backend.ClipNorm({d_features, first_moment}, 0.1f, norm));
    PROTOPAGE_RETURN_IF_ERROR(keep("norm", norm));
    PROTOPAGE_RETURN_IF_ERROR(keep("clipped", first_moment));
    PROTOPAGE_RETURN_IF_ERROR(backend.AdamUpdate({}, updates));
    PROTOPAGE_RETURN_IF_ERROR(keep("adam", features));
    PROTOPAGE_RETURN_IF_ERROR(backend.SgdUpdate({}, updates));
    PROTOPAGE_RETURN_IF_ERROR(keep("sgd", features));
  }
  return outputs;
}

}  // namespace protopage
