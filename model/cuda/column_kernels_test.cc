// Tests with shapes and addresses that the backend's operations rarely have.

#include "protopage/model/cuda/column_kernels.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/model/cuda/device_testing.h"

namespace protopage {
namespace {

class ColumnKernelsTest : public DeviceTest {
 protected:
  float* Zeros(int64_t n) { return ToDevice(std::vector<float>(n)); }
};

std::vector<float> Values(int64_t n, uint32_t seed) {
  std::vector<float> values(n);
  for (float& value : values) value = NextValue(&seed);
  return values;
}

TEST_F(ColumnKernelsTest, SumPartsTakesFewPartsAndMany) {
  for (const auto& [parts, n] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 3}, {1, 700}, {8, 1030}, {9, 257}, {84, 50}, {171, 33}, {1100, 9}, {2048, 1}}) {
    const std::vector<float> x = Values(parts * n, 7);
    float* const y = ToDevice(std::vector<float>(n, NAN));
    ASSERT_EQ(LaunchSumParts(stream_, ToDevice(x), parts, n, y), cudaSuccess);
    const std::vector<float> sums = ToHost(y, n);
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (int64_t part = 0; part < parts; ++part) sum += static_cast<double>(x[part * n + j]);
      EXPECT_FLOAT_EQ(sums[j], static_cast<float>(sum)) << parts << " parts, " << j << " of " << n;
    }
  }
}

TEST_F(ColumnKernelsTest, OutputGradientMasksAndSumsAtAnyAddress) {
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 4}, {127, 36}, {128, 33}, {129, 32}, {300, 8}}) {
    for (const int64_t offset : {0, 1}) {
      for (const bool masked : {false, true}) {
        const std::string what =
            std::to_string(rows) + " by " + std::to_string(cols) + " at " + std::to_string(offset);
        const int64_t n = rows * cols;
        std::vector<float> y = Values(n, 1), d_y = Values(n, 2);
        y[n / 2] = NAN;  // Does not mask the gradient.
        y[0] = 0.0f;
        float* const device = ToDevice(d_y, offset);
        float* const d_bias = Zeros(cols);
        ASSERT_EQ(LaunchOutputGradient(stream_, NumberFormat::kFloat32,
                                       masked ? ToDevice(y, offset) : nullptr, rows, cols, device,
                                       Zeros(ColumnPartials(rows, cols, 1)), d_bias),
                  cudaSuccess);
        std::vector<double> sums(cols);
        for (int64_t i = 0; i < n; ++i) {
          if (masked && y[i] <= 0.0f) d_y[i] = 0.0f;
          sums[i % cols] += static_cast<double>(d_y[i]);
        }
        EXPECT_EQ(ToHost(device, n), d_y) << what;
        const std::vector<float> actual = ToHost(d_bias, cols);
        for (int64_t j = 0; j < cols; ++j) {
          // Blocks of 128 values of at most 1 are summed in float: each of `rows` additions rounds
          // a sum of at most 128.
          EXPECT_NEAR(actual[j], sums[j], static_cast<double>(rows) * 128 / (1 << 24)) << what;
        }
      }
    }
  }
}

// The means of the blocks of rows are far from each other and from the first.
TEST_F(ColumnKernelsTest, MomentsOfColumnsThatChangeFromBlockToBlock) {
  constexpr int64_t kRows = 2000, kCols = 5;
  std::vector<float> x = Values(kRows * kCols, 3);
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    x[i] += 1000.0f * static_cast<float>(i % kCols) * static_cast<float>(i / kCols / 128);
  }
  float* const mean = Zeros(kCols);
  float* const inv_std = Zeros(kCols);
  const BatchNormMoments moments = {ToDevice(std::vector<float>(kCols, 1.0f)),
                                    /*epsilon=*/0.0f,
                                    /*momentum=*/0.5f,
                                    Zeros(kCols),
                                    Zeros(kCols),
                                    mean,
                                    inv_std,
                                    Zeros(kCols)};
  ASSERT_EQ(LaunchMoments(stream_, NumberFormat::kFloat32, ToDevice(x), kRows, kCols,
                          Zeros(ColumnPartials(kRows, kCols, 2)), moments),
            cudaSuccess);
  const std::vector<float> means = ToHost(mean, kCols), inv_stds = ToHost(inv_std, kCols);
  for (int64_t j = 0; j < kCols; ++j) {
    double sum = 0.0, squares = 0.0;
    for (int64_t row = 0; row < kRows; ++row) sum += static_cast<double>(x[row * kCols + j]);
    for (int64_t row = 0; row < kRows; ++row) {
      const double distance = static_cast<double>(x[row * kCols + j]) - sum / kRows;
      squares += distance * distance;
    }
    // The means of blocks are rounded sums of 128 floats.
    EXPECT_NEAR(means[j], sum / kRows, 1e-5 * (1 + std::abs(sum / kRows))) << j;
    EXPECT_NEAR(inv_stds[j] * std::sqrt(squares / kRows), 1.0, 1e-5) << j;
  }
}

TEST_F(ColumnKernelsTest, TheExampleOfTheHeader) {
  const int64_t rows = 3, cols = 2;
  const cudaStream_t stream = stream_;
  const float* const d_y = ToDevice(std::vector<float>{1, 2, 3, 4, 5, 6});
  float* const d_bias = Zeros(cols);
  float* partials = Zeros(ColumnPartials(rows, cols, /*sums=*/1));
  const cudaError_t error = LaunchColumnSums(stream, d_y, rows, cols, partials, d_bias);
  ASSERT_EQ(error, cudaSuccess);
  EXPECT_EQ(ToHost(d_bias, cols), (std::vector<float>{9, 12}));
}

}  // namespace
}  // namespace protopage
