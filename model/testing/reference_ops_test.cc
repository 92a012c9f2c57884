#include "protopage/model/testing/reference_ops.h"

#include <cmath>
#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "protopage/base/random.h"

namespace protopage {
namespace reference {
namespace {

Array RandomArray(int64_t n, uint64_t stream, double low = -1.0, double high = 1.0) {
  RandomStream random(/*seed=*/1, RandomPurpose::kTest, stream);
  Array values(n);
  for (double& value : values) value = low + (high - low) * random.Uniform();
  return values;
}

double Dot(const Array& a, const Array& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Holds `gradient` of f at x to central differences along each axis. With h = 1e-5 the
// truncation, h^2 f''' / 6, and the rounding, epsilon f / h, are both below 1e-9 of f's size.
void ExpectGradient(const std::function<double(const Array&)>& f, const Array& x,
                    const Array& gradient) {
  ASSERT_EQ(x.size(), gradient.size());
  const double h = 1e-5;
  Array moved = x;
  for (size_t i = 0; i < x.size(); ++i) {
    moved[i] = x[i] + h;
    const double above = f(moved);
    moved[i] = x[i] - h;
    const double below = f(moved);
    moved[i] = x[i];
    const double size = 1.0 + std::abs(above) + std::abs(gradient[i]);
    EXPECT_NEAR(gradient[i], (above - below) / (2 * h), 1e-7 * size) << "element " << i;
  }
}

Window2d OddWindow() {
  Window2d w;
  w.batch = 2;
  w.in_h = 5, w.in_w = 4, w.in_c = 3;
  w.kernel_h = 3, w.kernel_w = 2;
  w.stride_h = 2, w.stride_w = 1;
  w.pad_top = 1, w.pad_left = 1;
  w.out_h = 3, w.out_w = 5, w.out_c = 2;
  return w;
}

TEST(ReferenceOpsTest, Conv2dBackwardIsTheGradient) {
  const Window2d window = OddWindow();
  const Array x = RandomArray(2 * 5 * 4 * 3, 1), w = RandomArray(3 * 2 * 3 * 2, 2);
  const Array bias = RandomArray(2, 3), d_y = RandomArray(2 * 3 * 5 * 2, 4);
  const Conv2dGradients g = Conv2dBackward(window, x, w, d_y);
  ExpectGradient([&](const Array& v) { return Dot(d_y, Conv2dForward(window, v, w, bias)); }, x,
                 g.d_x);
  ExpectGradient([&](const Array& v) { return Dot(d_y, Conv2dForward(window, x, v, bias)); }, w,
                 g.d_w);
  ExpectGradient([&](const Array& v) { return Dot(d_y, Conv2dForward(window, x, w, v)); }, bias,
                 g.d_bias);
}

TEST(ReferenceOpsTest, Conv2dOfAKnownImage) {
  Window2d window;
  window.batch = 1;
  window.in_h = 1, window.in_w = 3, window.in_c = 1;
  window.kernel_w = 3, window.pad_left = 1;
  window.out_h = 1, window.out_w = 3, window.out_c = 1;
  // Correlation, as in every network: the kernel is not flipped.
  EXPECT_EQ(Conv2dForward(window, {1, 2, 3}, {10, 100, 1000}, {0.5}),
            (Array{2100.5, 3210.5, 320.5}));
}

TEST(ReferenceOpsTest, MaxPool2dBackwardIsTheGradient) {
  Window2d window = OddWindow();
  window.out_c = window.in_c;
  const Array x = RandomArray(2 * 5 * 4 * 3, 5), d_y = RandomArray(2 * 3 * 5 * 3, 6);
  const Array d_x = MaxPool2dBackward(window, d_y, MaxPool2dForward(window, x).argmax);
  ExpectGradient([&](const Array& v) { return Dot(d_y, MaxPool2dForward(window, v).y); }, x, d_x);
}

TEST(ReferenceOpsTest, GlobalAveragePoolBackwardIsTheGradient) {
  const Array x = RandomArray(2 * 6 * 3, 7), d_y = RandomArray(2 * 3, 8);
  ExpectGradient([&](const Array& v) { return Dot(d_y, GlobalAveragePoolForward(v, 2, 6, 3)); }, x,
                 GlobalAveragePoolBackward(d_y, 2, 6, 3));
}

TEST(ReferenceOpsTest, BatchNormBackwardIsTheGradient) {
  const int64_t rows = 7, c = 3;
  const double epsilon = 1e-3;
  const Array x = RandomArray(rows * c, 9), gamma = RandomArray(c, 10, 0.5, 2.0);
  const Array beta = RandomArray(c, 11), d_y = RandomArray(rows * c, 12);
  const BatchNormed forward = BatchNormTrain(x, rows, c, gamma, beta, epsilon);
  const BatchNormGradients g =
      BatchNormBackward(x, rows, c, gamma, forward.mean, forward.inv_std, d_y);
  const auto loss = [&](const Array& x, const Array& gamma, const Array& beta) {
    return Dot(d_y, BatchNormTrain(x, rows, c, gamma, beta, epsilon).y);
  };
  ExpectGradient([&](const Array& v) { return loss(v, gamma, beta); }, x, g.d_x);
  ExpectGradient([&](const Array& v) { return loss(x, v, beta); }, gamma, g.d_gamma);
  ExpectGradient([&](const Array& v) { return loss(x, gamma, v); }, beta, g.d_beta);
}

TEST(ReferenceOpsTest, L2NormalizeRowsBackwardIsTheGradient) {
  const Array x = RandomArray(3 * 5, 13), d_y = RandomArray(3 * 5, 14);
  const Normalized forward = L2NormalizeRows(x, 3, 5);
  ExpectGradient([&](const Array& v) { return Dot(d_y, L2NormalizeRows(v, 3, 5).y); }, x,
                 L2NormalizeRowsBackward(forward.y, forward.norms, d_y, 3, 5));
}

TEST(ReferenceOpsTest, MarginSoftmaxGradients) {
  const int64_t rows = 4, k = 5;
  const std::vector<int32_t> slots = {0, 4, 2, 2};
  Array cosines = RandomArray(rows * k, 15, -0.9, 0.9);
  cosines[slots[3] + 3 * k] = -0.97;  // On ArcFace's linear tail: below cos(pi - .5) = -.878.
  for (const MarginKind kind :
       {MarginKind::kAdditiveCosine, MarginKind::kAdditiveAngle, MarginKind::kCombined}) {
    MarginParams params;
    params.kind = kind;
    params.scale = 8.0f;
    params.margin = kind == MarginKind::kCombined ? 0.2f : 0.5f;
    params.m1 = 0.9f, params.m2 = 0.3f;
    const auto loss = [&](const Array& c) {
      double sum = 0.0;
      for (const double value : MarginSoftmax(params, c, slots, rows, k).losses) sum += value;
      return sum;
    };
    ExpectGradient(loss, cosines, MarginSoftmax(params, cosines, slots, rows, k).d_cosines);
  }
}

TEST(ReferenceOpsTest, RowUpdatesStayOnTheSphere) {
  Array w = RandomArray(8, 16), v = RandomArray(8, 17);
  const double norm = std::sqrt(Dot(w, w));
  for (double& value : w) value /= norm;
  RowMomentumUpdate({0.1f, 0.9f}, 3, w, v, RandomArray(8, 18));
  EXPECT_NEAR(Dot(w, w), 1.0, 1e-14);
  EXPECT_NEAR(Dot(w, v), 0.0, 1e-14);
  double accumulator = 0.5;
  RowAdagradUpdate({}, w, accumulator, RandomArray(8, 19));
  EXPECT_NEAR(Dot(w, w), 1.0, 1e-14);
  EXPECT_GT(accumulator, 0.5);
}

}  // namespace
}  // namespace reference
}  // namespace protopage
