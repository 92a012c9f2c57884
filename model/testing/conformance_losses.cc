// The matrix products and the margin softmax of every backend.
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "protopage/base/status_matchers.h"
#include "protopage/model/testing/conformance_fixture.h"
#include "protopage/model/testing/reference_ops.h"

namespace protopage {
namespace {

using reference::Array;

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
  for (const int64_t n : ConformanceSizes()) {
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

}  // namespace
}  // namespace protopage
