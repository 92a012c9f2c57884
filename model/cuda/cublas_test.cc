#include "protopage/model/cuda/cublas.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "protopage/base/status_macros.h"
#include "protopage/model/cuda/device_testing.h"

namespace protopage {
namespace {

// The format that the inputs of a product are rounded to.
enum class Input { kFloat32, kTf32, kHalf, kBf16 };

// A column-major matrix on the host; its columns are `leading` >= `rows` elements apart.
struct HostMatrix {
  int rows, cols, leading;
  std::vector<float> values;

  float at(int i, int j) const { return values[static_cast<size_t>(j) * leading + i]; }
};

// A matrix of values in [-1, 1] with full mantissas, and NaN between the columns.
HostMatrix Filled(int rows, int cols, int leading, uint32_t seed) {
  HostMatrix matrix = {rows, cols, leading, {}};
  matrix.values.assign(static_cast<size_t>(leading) * cols,
                       std::numeric_limits<float>::quiet_NaN());
  for (int j = 0; j < cols; ++j) {
    for (int i = 0; i < rows; ++i) {
      matrix.values[static_cast<size_t>(j) * leading + i] = NextValue(&seed);
    }
  }
  return matrix;
}

class CublasTest : public DeviceTest {
 protected:
  using DeviceTest::ToDevice;

  void SetUp() override {
    const absl::StatusOr<const CublasApi*> api = LoadCublas();
    ASSERT_TRUE(api.ok()) << api.status();
    api_ = *api;
    ASSERT_NO_FATAL_FAILURE(DeviceTest::SetUp());
    ASSERT_EQ(api_->create(&handle_), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(api_->set_stream(handle_, stream_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(api_->destroy(handle_), CUBLAS_STATUS_SUCCESS);
    DeviceTest::TearDown();
  }

  const void* ToDevice(const std::vector<float>& values, Input input) {
    if (input == Input::kFloat32 || input == Input::kTf32) return ToDevice(values);
    std::vector<uint16_t> bits;
    for (const float x : values) {
      bits.push_back(input == Input::kHalf ? ToHalfBits(x) : ToBf16Bits(x));
    }
    return ToDevice(bits);
  }

  // Compares C = alpha op(A) op(B) + beta C to a loop in double over the unrounded inputs, within
  // the error of rounding these and the sums.
  void Check(bool trans_a, bool trans_b, int m, int n, int k, int padding, float alpha, float beta,
             Input input) {
    const int a_rows = trans_a ? k : m, b_rows = trans_b ? n : k;
    const HostMatrix a = Filled(a_rows, trans_a ? m : k, a_rows + padding, 1);
    const HostMatrix b = Filled(b_rows, trans_b ? k : n, b_rows + 2 * padding, 2);
    const HostMatrix c = Filled(m, n, m + 3 * padding, 3);
    const cudaDataType type = input == Input::kHalf   ? CUDA_R_16F
                              : input == Input::kBf16 ? CUDA_R_16BF
                                                      : CUDA_R_32F;
    float* const result = ToDevice(c.values);
    ASSERT_EQ(api_->gemm_ex(
                  handle_, trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                  m, n, k, &alpha, ToDevice(a.values, input), type, a.leading,
                  ToDevice(b.values, input), type, b.leading, &beta, result, CUDA_R_32F, c.leading,
                  input == Input::kTf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                  CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    const std::vector<float> got = ToHost(result, c.values.size());
    // Half a unit in the last place for each factor, and one of float32 for each of k additions.
    const double unit = input == Input::kTf32 || input == Input::kHalf ? std::ldexp(1.0, -11)
                        : input == Input::kBf16                        ? std::ldexp(1.0, -8)
                                                                       : 0.0;
    const double per_term = 2 * unit + unit * unit + (k + 2) * std::ldexp(1.0, -24);
    double worst = 0.0;
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        double sum = 0.0, magnitude = 0.0;
        for (int l = 0; l < k; ++l) {
          const double term = static_cast<double>(trans_a ? a.at(l, i) : a.at(i, l)) *
                              (trans_b ? b.at(j, l) : b.at(l, j));
          sum += term;
          magnitude += std::abs(term);
        }
        double expected = alpha * sum;
        const double tolerance = std::abs(alpha) * magnitude * per_term + std::ldexp(1.0, -22);
        if (beta != 0.0f) expected += static_cast<double>(beta) * c.at(i, j);
        const double error = std::abs(got[static_cast<size_t>(j) * c.leading + i] - expected);
        ASSERT_LE(error, tolerance) << "at " << i << ", " << j;
        worst = std::max(worst, error);
      }
      // Nothing is written between the columns.
      for (int i = m; i < c.leading; ++i) {
        ASSERT_TRUE(std::isnan(got[static_cast<size_t>(j) * c.leading + i]));
      }
    }
    // The inputs were rounded as requested: the rounding of float32 is less than a hundredth of
    // that.
    if (unit > 0.0) {
      EXPECT_GT(worst, std::abs(alpha) * unit);
    }
  }

  const CublasApi* api_ = nullptr;
  cublasHandle_t handle_ = nullptr;
};

TEST_F(CublasTest, ProductsAreThoseOfADoubleLoop) {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      for (const int padding : {0, 3}) {
        SCOPED_TRACE(::testing::Message() << trans_a << trans_b << " padding " << padding);
        Check(trans_a, trans_b, 7, 5, 9, padding, 1.0f, 0.0f, Input::kFloat32);
        Check(trans_a, trans_b, 64, 33, 130, padding, 0.5f, -2.0f, Input::kFloat32);
        Check(trans_a, trans_b, 1, 40, 17, padding, -1.0f, 1.0f, Input::kFloat32);
        Check(trans_a, trans_b, 40, 1, 17, padding, 1.0f, 0.0f, Input::kFloat32);
        Check(trans_a, trans_b, 1, 1, 1, padding, 1.0f, 0.0f, Input::kFloat32);
      }
    }
  }
}

TEST_F(CublasTest, InputsAreRoundedToWhatIsAskedFor) {
  for (const Input input : {Input::kTf32, Input::kHalf, Input::kBf16}) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        SCOPED_TRACE(::testing::Message() << static_cast<int>(input) << trans_a << trans_b);
        // cuBLAS may take float32 where TF32 is allowed, as it does for small or unaligned
        // products.
        Check(trans_a, trans_b, 128, 64, 256, 0, 1.0f, 0.0f, input);
        Check(trans_a, trans_b, 128, 64, 256, 8, 0.5f, 2.0f, input);
      }
    }
  }
}

// C may be memory that was never written.
TEST_F(CublasTest, CIsNotReadIfBetaIsZero) {
  const float one = 1.0f, zero = 0.0f;
  const float* const a = ToDevice(std::vector<float>{1, 2, 3, 4});
  float* const c = ToDevice(std::vector<float>(4, std::numeric_limits<float>::quiet_NaN()));
  ASSERT_EQ(api_->gemm_ex(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, CUDA_R_32F, 2, a,
                          CUDA_R_32F, 2, &zero, c, CUDA_R_32F, 2, CUBLAS_COMPUTE_32F,
                          CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(ToHost(c, 4), (std::vector<float>{7, 10, 15, 22}));
}

TEST_F(CublasTest, RowMajorProductsAreColumnMajorOnesWithAAndBSwapped) {
  // A [2, 3] B [3, 2].
  const float* const a = ToDevice(std::vector<float>{1, 2, 3, 4, 5, 6});
  const float* const b = ToDevice(std::vector<float>{7, 8, 9, 10, 11, 12});
  float* const c = ToDevice(std::vector<float>(4));
  const float one = 1.0f, zero = 0.0f;
  ASSERT_EQ(api_->gemm_ex(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &one, b, CUDA_R_32F, 2, a,
                          CUDA_R_32F, 3, &zero, c, CUDA_R_32F, 2, CUBLAS_COMPUTE_32F,
                          CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_THAT(ToHost(c, 4), ::testing::ElementsAre(58, 64, 139, 154));
}

TEST_F(CublasTest, ABatchIsThatManyProducts) {
  // Each A begins two elements after the one before; B is shared.
  const float* const a = ToDevice(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
  const float* const b = ToDevice(std::vector<float>{1, 0, 1, 1});
  float* const c = ToDevice(std::vector<float>(13, -1.0f));
  const float one = 1.0f, zero = 0.0f;
  ASSERT_EQ(
      api_->gemm_strided_batched_ex(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, CUDA_R_32F,
                                    2, 2, b, CUDA_R_32F, 2, 0, &zero, c, CUDA_R_32F, 2, 4, 3,
                                    CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      CUBLAS_STATUS_SUCCESS);
  EXPECT_THAT(ToHost(c, 13), ::testing::ElementsAre(1, 2, 4, 6, 3, 4, 8, 10, 5, 6, 12, 14, -1));
}

TEST_F(CublasTest, TheSameCallGivesTheSameBits) {
  const HostMatrix a = Filled(100, 300, 100, 1), b = Filled(300, 50, 300, 2);
  const float* const a_device = ToDevice(a.values);
  const float* const b_device = ToDevice(b.values);
  const float one = 1.0f, zero = 0.0f;
  std::vector<float> first;
  for (int i = 0; i < 3; ++i) {
    float* const c = ToDevice(std::vector<float>(100 * 50));
    ASSERT_EQ(api_->gemm_ex(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 100, 50, 300, &one, a_device,
                            CUDA_R_32F, 100, b_device, CUDA_R_32F, 300, &zero, c, CUDA_R_32F, 100,
                            CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
              CUBLAS_STATUS_SUCCESS);
    const std::vector<float> values = ToHost(c, 100 * 50);
    if (i == 0) first = values;
    EXPECT_EQ(values, first);
  }
}

TEST_F(CublasTest, RefusesWhatCublasRefuses) {
  const float one = 1.0f;
  float* const x = ToDevice(std::vector<float>(64));
  const auto gemm = [&](cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
                        int lda, int ldb, int ldc) {
    return api_->gemm_ex(handle_, trans_a, trans_b, m, n, k, &one, x, CUDA_R_32F, lda, x,
                         CUDA_R_32F, ldb, &one, x + 32, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F,
                         CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_N, 2, 3, 4, 2, 4, 2), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_N, 2, 3, 4, 1, 4, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_N, 2, 3, 4, 2, 3, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_N, 2, 3, 4, 2, 4, 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(CUBLAS_OP_T, CUBLAS_OP_N, 2, 3, 4, 3, 4, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_T, 2, 3, 4, 2, 2, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(gemm(CUBLAS_OP_N, CUBLAS_OP_N, -1, 3, 4, 2, 4, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(
      api_->gemm_ex(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, x, CUDA_R_32F, 1, x,
                    CUDA_R_32F, 1, &one, x, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      CUBLAS_STATUS_NOT_INITIALIZED);
  int version = 0;
  EXPECT_EQ(api_->get_version(handle_, &version), CUBLAS_STATUS_SUCCESS);
  EXPECT_GE(version, 12000);
}

// C [m, n] = A [m, k] B [k, n], row-major.
absl::Status RowMajorProduct(cudaStream_t stream, int m, int n, int k, const float* a,
                             const float* b, float* c) {
  const float one = 1.0f, zero = 0.0f;
  PROTOPAGE_ASSIGN_OR_RETURN(const CublasApi* cublas, LoadCublas());
  cublasHandle_t handle;
  cublasStatus_t status = cublas->create(&handle);
  if (status == CUBLAS_STATUS_SUCCESS) status = cublas->set_stream(handle, stream);
  if (status == CUBLAS_STATUS_SUCCESS) {
    status = cublas->gemm_ex(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, &one, b, CUDA_R_32F, n, a,
                             CUDA_R_32F, k, &zero, c, CUDA_R_32F, n, CUBLAS_COMPUTE_32F,
                             CUBLAS_GEMM_DEFAULT);
  }
  if (status != CUBLAS_STATUS_SUCCESS) {
    return absl::InternalError(absl::StrCat("cuBLAS: ", static_cast<int>(status)));
  }
  cudaStreamSynchronize(stream);
  cublas->destroy(handle);
  return absl::OkStatus();
}

TEST_F(CublasTest, TheExampleOfTheHeader) {
  const float* const a = ToDevice(std::vector<float>{1, 2, 3, 4, 5, 6});
  const float* const b = ToDevice(std::vector<float>{7, 8, 9, 10, 11, 12});
  float* const c = ToDevice(std::vector<float>(4));
  const absl::Status status = RowMajorProduct(stream_, 2, 2, 3, a, b, c);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(ToHost(c, 4), ::testing::ElementsAre(58, 64, 139, 154));
}

}  // namespace
}  // namespace protopage
