#include "protopage/model/testing/float_dtype.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/random.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/testing.h"

namespace protopage {
namespace {

TEST(FloatDtypeTest, RoundsToTheNearestTiesToEven) {
  EXPECT_EQ(RoundedTo(DType::kFloat32, 0.1f), 0.1f);
  // The next number after 1 is 1 + 2^-7 in bf16 and 1 + 2^-10 in fp16.
  EXPECT_EQ(RoundedTo(DType::kBfloat16, 1.0f + std::ldexp(1.0f, -8)), 1.0f);
  EXPECT_EQ(RoundedTo(DType::kBfloat16, 1.0f + 3 * std::ldexp(1.0f, -8)),
            1.0f + std::ldexp(1.0f, -6));
  EXPECT_EQ(RoundedTo(DType::kBfloat16, -1.0f - 1.01f * std::ldexp(1.0f, -8)),
            -1.0f - std::ldexp(1.0f, -7));
  EXPECT_EQ(RoundedTo(DType::kFloat16, 1.0f + std::ldexp(1.0f, -11)), 1.0f);
  EXPECT_EQ(RoundedTo(DType::kFloat16, 1.0f + 3 * std::ldexp(1.0f, -11)),
            1.0f + std::ldexp(1.0f, -9));
  for (const DType dtype : {DType::kBfloat16, DType::kFloat16}) {
    EXPECT_TRUE(std::isnan(RoundedTo(dtype, std::numeric_limits<float>::quiet_NaN())));
    EXPECT_EQ(RoundedTo(dtype, std::numeric_limits<float>::max()),
              std::numeric_limits<float>::infinity());
    EXPECT_EQ(RoundedTo(dtype, -0.375f), -0.375f);
  }
}

TEST(FloatDtypeTest, NothingIsRoundedByMore) {
  RandomStream random(1, RandomPurpose::kTest, 0);
  for (const DType dtype : {DType::kFloat32, DType::kBfloat16, DType::kFloat16}) {
    double largest = 0.0;  // Of the bound.
    for (int i = 0; i < 10000; ++i) {
      const float x = std::ldexp(random.Uniform(-1.0f, 1.0f), -(i % 25));
      const double error = std::abs(static_cast<double>(RoundedTo(dtype, x)) - x);
      ASSERT_LE(error, RoundingTo(dtype, x)) << x;
      if (error > 0.0) largest = std::max(largest, error / RoundingTo(dtype, x));
    }
    EXPECT_GE(largest, dtype == DType::kFloat32 ? 0.0 : 0.9);
  }
}

TEST(FloatDtypeTest, SetsAndGetsWhatATensorHolds) {
  TestBackend backend;
  const std::vector<float> values = {0.1f, -3.0f, 1e-3f};
  for (const DType dtype : {DType::kFloat32, DType::kBfloat16, DType::kFloat16}) {
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const Tensor x, backend->Allocate(dtype, {3}));
    PROTOPAGE_ASSERT_OK(SetFloats(*backend.get(), values, x));
    PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> held, GetFloats(*backend.get(), x));
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(held[i], RoundedTo(dtype, values[i]));
  }
}

TEST(FloatDtypeTest, TheExampleOfTheHeader) {
  TestBackend test_backend;
  Backend* const backend = test_backend.get();
  Tensor x = backend->Allocate(backend->activation_dtype(), {3}).value();
  PROTOPAGE_ASSERT_OK(SetFloats(*backend, {0.1f, 0.2f, 0.3f}, x));
  PROTOPAGE_ASSERT_OK_AND_ASSIGN(const std::vector<float> values, GetFloats(*backend, x));
  EXPECT_EQ(values[0], RoundedTo(x.dtype(), 0.1f));
}

}  // namespace
}  // namespace protopage
