// The examples in the headers of kernels and of what kernels use, on small arrays.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/model/backend.h"
#include "protopage/model/cuda/column_kernels.h"
#include "protopage/model/cuda/device_testing.h"
#include "protopage/model/cuda/elementwise_kernels.h"
#include "protopage/model/cuda/implicit_gemm.h"
#include "protopage/model/cuda/implicit_gradient.h"
#include "protopage/model/cuda/implicit_windows.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/list_kernels.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/cuda/row_kernels.h"
#include "protopage/model/cuda/window_kernels.h"
#include "protopage/model/precision.h"

namespace protopage {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Lt;

class KernelExamplesTest : public DeviceTest {
 protected:
  float* Floats(int64_t n, float value) { return ToDevice(std::vector<float>(n, value)); }
};

__global__ void Scale(float* x, float by, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= by;
}

using PlatformTest = KernelExamplesTest;

TEST_F(PlatformTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const int n = 300;
  float* const x = Floats(n, 3.0f);
  const cudaError_t error = Launch(stream, dim3((n + 255) / 256), dim3(256),
                                   /*shared_bytes=*/0, Scale, x, 0.5f, n);
  ASSERT_EQ(error, cudaSuccess);
  EXPECT_THAT(ToHost(x, n), Each(1.5f));
}

__global__ void DoubleKernel(float* x, int64_t n) {
  for (int64_t i = FirstIndex(); i < n; i += IndexStride()) x[i] *= 2.0f;
}

using KernelSupportTest = KernelExamplesTest;

TEST_F(KernelSupportTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const int64_t n = 1000;
  float* const x = Floats(n, 3.0f);
  Launch(stream, GridFor(n), kBlockThreads, /*shared_bytes=*/0, DoubleKernel, x, n);
  EXPECT_THAT(ToHost(x, n), Each(6.0f));
}

template <typename Format>
__global__ void ScaleKernel(typename Format::Stored* x, float by) {
  Pack<float, 4> values = LoadFloats<Format, 4>(x);
  for (float& value : values.v) value *= by;
  StoreFloats<Format>(x, values);
}

using NumberFormatTest = KernelExamplesTest;

TEST_F(NumberFormatTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  float* const floats = Floats(4, 3.0f);
  for (const NumberFormat format :
       {NumberFormat::kFloat32, NumberFormat::kBf16, NumberFormat::kFp16}) {
    void* const x = ToDevice(std::vector<float>(4));
    ASSERT_EQ(LaunchConvert(stream, NumberFormat::kFloat32, floats, 4, format, x), cudaSuccess);
    WithFormat(format, [&](auto stored) {
      using Format = decltype(stored);
      return Launch(stream, dim3(1), dim3(1), 0, ScaleKernel<Format>, StoredAs<Format>(x), 0.5f);
    });
    float* const scaled = Floats(4, 0.0f);
    ASSERT_EQ(LaunchConvert(stream, format, x, 4, NumberFormat::kFloat32, scaled), cudaSuccess);
    EXPECT_THAT(ToHost(scaled, 4), Each(1.5f));
  }
}

class ScaleTest : public DeviceTest {};
TEST_F(ScaleTest, Doubles) {
  float* const x = ToDevice(std::vector<float>{1.0f, 2.0f});
  ASSERT_EQ(LaunchScale(stream_, 2.0f, 2, x), cudaSuccess);
  EXPECT_THAT(ToHost(x, 2), ElementsAre(2.0f, 4.0f));
}

using ElementwiseKernelsTest = KernelExamplesTest;

TEST_F(ElementwiseKernelsTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const int64_t n = 3;
  const uint16_t* const a = ToDevice(std::vector<uint16_t>(n, ToBf16Bits(1.5f)));
  const uint16_t* const b = ToDevice(std::vector<uint16_t>(n, ToBf16Bits(2.0f)));
  uint16_t* const y = ToDevice(std::vector<uint16_t>(n));
  const cudaError_t error = LaunchAdd(stream, NumberFormat::kBf16, a, b, n, y);
  ASSERT_EQ(error, cudaSuccess);
  float* const sums = Floats(n, 0.0f);
  ASSERT_EQ(LaunchConvert(stream, NumberFormat::kBf16, y, n, NumberFormat::kFloat32, sums),
            cudaSuccess);
  EXPECT_THAT(ToHost(sums, n), Each(3.5f));
}

using RowKernelsTest = KernelExamplesTest;

TEST_F(RowKernelsTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const int64_t rows = 2, d = 2;
  const float* const x = ToDevice(std::vector<float>{3, 4, 0, 2});
  float* const y = Floats(rows * d, 0.0f);
  float* const norms = Floats(rows, 0.0f);
  const cudaError_t error = LaunchL2NormalizeRows(stream, x, rows, d, y, norms);
  ASSERT_EQ(error, cudaSuccess);
  EXPECT_THAT(ToHost(y, rows * d), ElementsAre(0.6f, 0.8f, 0.0f, 1.0f));
  EXPECT_THAT(ToHost(norms, rows), ElementsAre(5.0f, 2.0f));
}

using ListKernelsTest = KernelExamplesTest;

TEST_F(ListKernelsTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const int64_t n = 1500;
  float* const value = Floats(n, 1.0f);
  UpdateEntry entry = {value, Floats(n, 1.0f), Floats(n, 0.0f), Floats(n, 0.0f), 0, /*aligned=*/1};
  const UpdateEntry* const device_entries = ToDevice(std::vector<UpdateEntry>{entry});
  AdamStep step = {};
  step.beta1 = 0.9f, step.beta2 = 0.999f, step.epsilon = 1e-8f;
  step.decay = step.scale1 = step.inverse_sqrt_bias2 = 1.0f;
  std::vector<Chunk> chunks;
  AddChunks(/*entry=*/0, n, &chunks);
  const Chunk* const device_chunks = ToDevice(chunks);
  LaunchAdam(stream, step, device_entries, device_chunks, chunks.size());
  EXPECT_THAT(ToHost(value, n), Each(Lt(1.0f)));
}

using WindowKernelsTest = KernelExamplesTest;

TEST_F(WindowKernelsTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  // Windows of one pixel, whose matrix is x itself.
  Window2d window;
  window.batch = 1, window.in_h = window.out_h = 1, window.in_w = window.out_w = 5;
  window.in_c = 2, window.kernel_h = window.kernel_w = 1;
  const int64_t positions = 5, tile = 3;
  const uint16_t* const x = ToDevice(std::vector<uint16_t>(positions * 2, ToBf16Bits(4.0f)));
  uint16_t* const columns = ToDevice(std::vector<uint16_t>(tile * 2));
  float* const y = Floats(positions * 2, 0.0f);
  for (int64_t first = 0; first < positions; first += tile) {
    const int64_t rows = std::min(tile, positions - first);
    LaunchIm2Col(stream, window, NumberFormat::kBf16, x, first, rows, columns);
    LaunchConvert(stream, NumberFormat::kBf16, columns, rows * 2, NumberFormat::kFloat32,
                  y + first * 2);
  }
  EXPECT_THAT(ToHost(y, positions * 2), Each(4.0f));
}

// A convolution of 1 x 1.
Window2d SmallWindow(int64_t channels) {
  Window2d window;
  window.batch = 1;
  window.in_h = window.out_h = window.in_w = window.out_w = 4;
  window.in_c = channels, window.out_c = 8, window.kernel_h = window.kernel_w = 1;
  return window;
}

using ImplicitGemmTest = KernelExamplesTest;

TEST_F(ImplicitGemmTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const Window2d window = SmallWindow(3);
  const Precision precision = Precision::kTf32;
  const bool relu = true;
  const int64_t pixels = 16;
  const float* const x = Floats(pixels * window.in_c, 2.0f);
  float* const padded_x = Floats(pixels * ImplicitChannels(precision, window.in_c), 0.0f);
  const float* const w = Floats(window.in_c * window.out_c, 1.0f);
  char* const packed = ToDevice(std::vector<char>(PackedKernelBytes(window, precision)));
  const float* const bias = Floats(window.out_c, 0.5f);
  float* const y = Floats(pixels * window.out_c, 0.0f);
  if (ImplicitGemmSupports(window)) {
    LaunchPadChannels(stream, precision, x, pixels, window.in_c, padded_x);
    LaunchPackKernel(stream, window, precision, w, packed);
    LaunchImplicitGemm(stream, window, precision, padded_x, packed, bias, relu, y);
  }
  EXPECT_THAT(ToHost(y, pixels * window.out_c), Each(6.5f));
}

using ImplicitGradientTest = KernelExamplesTest;

TEST_F(ImplicitGradientTest, TheExampleOfTheHeader) {
  const cudaStream_t stream = stream_;
  const Window2d window = SmallWindow(4);
  const Precision precision = Precision::kTf32;
  const int64_t pixels = 16, w_size = window.in_c * window.out_c;
  const float* const x = Floats(pixels * window.in_c, 2.0f);
  const float* const d_y = Floats(pixels * window.out_c, 3.0f);
  float* const d_w = Floats(w_size, 0.0f);
  const int64_t parts = ImplicitGradientParts(window);
  float* sums = Floats(parts * w_size, 0.0f);
  LaunchImplicitGradient(stream, window, precision, x, d_y, parts, sums);
  LaunchSumParts(stream, sums, parts, w_size, d_w);
  EXPECT_THAT(ToHost(d_w, w_size), Each(96.0f));
}

}  // namespace
}  // namespace protopage
