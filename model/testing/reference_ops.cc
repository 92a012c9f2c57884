#include "protopage/model/testing/reference_ops.h"

#include <algorithm>
#include <cmath>

namespace protopage {
namespace reference {
namespace {

// Calls body(y index, window position, x pixel index) for every position of every window that
// lies on the image: x pixel index and y index count positions, without channels.
template <typename Body>
void ForWindows(const Window2d& w, const Body& body) {
  for (int64_t b = 0; b < w.batch; ++b) {
    for (int64_t oh = 0; oh < w.out_h; ++oh) {
      for (int64_t ow = 0; ow < w.out_w; ++ow) {
        for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
          for (int64_t kw = 0; kw < w.kernel_w; ++kw) {
            const int64_t ih = oh * w.stride_h - w.pad_top + kh;
            const int64_t iw = ow * w.stride_w - w.pad_left + kw;
            if (ih < 0 || ih >= w.in_h || iw < 0 || iw >= w.in_w) continue;
            body((b * w.out_h + oh) * w.out_w + ow, kh * w.kernel_w + kw,
                 (b * w.in_h + ih) * w.in_w + iw);
          }
        }
      }
    }
  }
}

double Dot(const Array& a, const Array& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// x -= (x . w) w
void Project(const Array& w, Array& x) {
  const double along = Dot(x, w);
  for (size_t i = 0; i < x.size(); ++i) x[i] -= along * w[i];
}

void Renormalize(Array& w) {
  const double norm = std::sqrt(Dot(w, w));
  for (double& value : w) value /= norm;
}

bool IsZero(const Array& x) {
  return std::all_of(x.begin(), x.end(), [](double value) { return value == 0.0; });
}

}  // namespace

Array Conv2dForward(const Window2d& window, const Array& x, const Array& w, const Array& bias) {
  Array y(window.batch * window.out_h * window.out_w * window.out_c);
  if (!bias.empty()) {
    for (size_t i = 0; i < y.size(); ++i) y[i] = bias[i % window.out_c];
  }
  ForWindows(window, [&](int64_t out, int64_t position, int64_t in) {
    for (int64_t c = 0; c < window.in_c; ++c) {
      for (int64_t o = 0; o < window.out_c; ++o) {
        y[out * window.out_c + o] +=
            x[in * window.in_c + c] * w[(position * window.in_c + c) * window.out_c + o];
      }
    }
  });
  return y;
}

Conv2dGradients Conv2dBackward(const Window2d& window, const Array& x, const Array& w,
                               const Array& d_y) {
  Conv2dGradients g = {Array(x.size()), Array(w.size()), Array(window.out_c)};
  for (size_t i = 0; i < d_y.size(); ++i) g.d_bias[i % window.out_c] += d_y[i];
  ForWindows(window, [&](int64_t out, int64_t position, int64_t in) {
    for (int64_t c = 0; c < window.in_c; ++c) {
      for (int64_t o = 0; o < window.out_c; ++o) {
        const int64_t i = (position * window.in_c + c) * window.out_c + o;
        g.d_x[in * window.in_c + c] += d_y[out * window.out_c + o] * w[i];
        g.d_w[i] += d_y[out * window.out_c + o] * x[in * window.in_c + c];
      }
    }
  });
  return g;
}

MaxPooled MaxPool2dForward(const Window2d& window, const Array& x) {
  const int64_t size = window.batch * window.out_h * window.out_w * window.in_c;
  MaxPooled result = {Array(size, -INFINITY), std::vector<int32_t>(size, -1)};
  ForWindows(window, [&](int64_t out, int64_t position, int64_t in) {
    for (int64_t c = 0; c < window.in_c; ++c) {
      const int64_t i = out * window.in_c + c;
      if (result.argmax[i] < 0 || x[in * window.in_c + c] > result.y[i]) {
        result.y[i] = x[in * window.in_c + c];
        result.argmax[i] = static_cast<int32_t>(position);
      }
    }
  });
  return result;
}

Array MaxPool2dBackward(const Window2d& window, const Array& d_y,
                        const std::vector<int32_t>& argmax) {
  Array d_x(window.batch * window.in_h * window.in_w * window.in_c);
  ForWindows(window, [&](int64_t out, int64_t position, int64_t in) {
    for (int64_t c = 0; c < window.in_c; ++c) {
      const int64_t i = out * window.in_c + c;
      if (argmax[i] == position) d_x[in * window.in_c + c] += d_y[i];
    }
  });
  return d_x;
}

Array GlobalAveragePoolForward(const Array& x, int64_t batch, int64_t pixels, int64_t c) {
  Array y(batch * c);
  for (int64_t i = 0; i < batch * pixels * c; ++i) {
    y[i / (pixels * c) * c + i % c] += x[i] / static_cast<double>(pixels);
  }
  return y;
}

Array GlobalAveragePoolBackward(const Array& d_y, int64_t batch, int64_t pixels, int64_t c) {
  Array d_x(batch * pixels * c);
  for (int64_t i = 0; i < batch * pixels * c; ++i) {
    d_x[i] = d_y[i / (pixels * c) * c + i % c] / static_cast<double>(pixels);
  }
  return d_x;
}

BatchNormed BatchNormTrain(const Array& x, int64_t rows, int64_t c, const Array& gamma,
                           const Array& beta, double epsilon) {
  BatchNormed result = {Array(x.size()), Array(c), Array(c), Array(c)};
  for (int64_t j = 0; j < c; ++j) {
    for (int64_t i = 0; i < rows; ++i) result.mean[j] += x[i * c + j] / static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i) {
      const double d = x[i * c + j] - result.mean[j];
      result.variance[j] += d * d / static_cast<double>(rows);
    }
    result.inv_std[j] = 1.0 / std::sqrt(result.variance[j] + epsilon);
    for (int64_t i = 0; i < rows; ++i) {
      result.y[i * c + j] =
          (x[i * c + j] - result.mean[j]) * result.inv_std[j] * gamma[j] + beta[j];
    }
  }
  return result;
}

BatchNormGradients BatchNormBackward(const Array& x, int64_t rows, int64_t c, const Array& gamma,
                                     const Array& mean, const Array& inv_std, const Array& d_y) {
  BatchNormGradients g = {Array(x.size()), Array(c), Array(c)};
  const double n = static_cast<double>(rows);
  for (int64_t j = 0; j < c; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      g.d_beta[j] += d_y[i * c + j];
      g.d_gamma[j] += d_y[i * c + j] * (x[i * c + j] - mean[j]) * inv_std[j];
    }
    for (int64_t i = 0; i < rows; ++i) {
      const double x_hat = (x[i * c + j] - mean[j]) * inv_std[j];
      g.d_x[i * c + j] =
          gamma[j] * inv_std[j] * (d_y[i * c + j] - g.d_beta[j] / n - x_hat * g.d_gamma[j] / n);
    }
  }
  return g;
}

Normalized L2NormalizeRows(const Array& x, int64_t rows, int64_t d) {
  Normalized result = {x, Array(rows)};
  for (int64_t i = 0; i < rows; ++i) {
    double square = 0.0;
    for (int64_t j = 0; j < d; ++j) square += x[i * d + j] * x[i * d + j];
    result.norms[i] = std::max(std::sqrt(square), 1e-5);
    for (int64_t j = 0; j < d; ++j) result.y[i * d + j] /= result.norms[i];
  }
  return result;
}

Array L2NormalizeRowsBackward(const Array& y, const Array& norms, const Array& d_y, int64_t rows,
                              int64_t d) {
  Array d_x(y.size());
  for (int64_t i = 0; i < rows; ++i) {
    double along = 0.0;
    for (int64_t j = 0; j < d; ++j) along += d_y[i * d + j] * y[i * d + j];
    for (int64_t j = 0; j < d; ++j) {
      d_x[i * d + j] = (d_y[i * d + j] - along * y[i * d + j]) / norms[i];
    }
  }
  return d_x;
}

Array MatMul(const Array& a, bool transpose_a, const Array& b, bool transpose_b, int64_t rows,
             int64_t cols, int64_t depth) {
  Array c(rows * cols);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      for (int64_t k = 0; k < depth; ++k) {
        c[i * cols + j] += a[transpose_a ? k * rows + i : i * depth + k] *
                           b[transpose_b ? j * depth + k : k * cols + j];
      }
    }
  }
  return c;
}

MarginSoftmaxed MarginSoftmax(const MarginParams& params, const Array& cosines,
                              const std::vector<int32_t>& slots, int64_t rows, int64_t k) {
  MarginSoftmaxed result = {Array(rows), Array(cosines.size()), std::vector<int32_t>(rows)};
  const double s = params.scale, m = params.margin;
  for (int64_t i = 0; i < rows; ++i) {
    const auto row = cosines.begin() + i * k;
    result.predicted[i] = static_cast<int32_t>(std::max_element(row, row + k) - row);
    const int32_t y = slots[i];
    const double c = row[y];
    const double theta = std::acos(c), sine = std::sqrt(1.0 - c * c);
    double target = c - m, slope = 1.0;
    if (params.kind == MarginKind::kAdditiveAngle) {
      if (c <= std::cos(M_PI - m)) {
        target = c - m * std::sin(M_PI - m);
      } else {
        target = std::cos(theta + m);
        slope = std::sin(theta + m) / sine;
      }
    } else if (params.kind == MarginKind::kCombined) {
      const double angle = params.m1 * theta + params.m2;
      target = std::cos(angle) - m;
      slope = params.m1 * std::sin(angle) / sine;
    }
    Array z(row, row + k);
    z[y] = target;
    const double largest = *std::max_element(z.begin(), z.end());
    double sum = 0.0;
    for (const double value : z) sum += std::exp(s * (value - largest));
    result.losses[i] = std::log(sum) - s * (z[y] - largest);
    for (int64_t j = 0; j < k; ++j) {
      const double p = std::exp(s * (z[j] - largest)) / sum;
      result.d_cosines[i * k + j] = j == y ? s * (p - 1.0) * slope : s * p;
    }
  }
  return result;
}

void RowMomentumUpdate(const RowMomentumParams& params, int32_t away, Array& w, Array& v, Array g) {
  if (IsZero(v) && IsZero(g)) return;
  for (double& value : v) value *= std::pow(static_cast<double>(params.momentum), away);
  Project(w, v);
  Project(w, g);
  for (size_t i = 0; i < w.size(); ++i) {
    v[i] = params.momentum * v[i] + g[i];
    w[i] -= params.learning_rate * v[i];
  }
  Renormalize(w);
  Project(w, v);
}

void RowAdagradUpdate(const RowAdagradParams& params, Array& w, double& accumulator, Array g) {
  if (IsZero(g)) return;
  Project(w, g);
  accumulator += Dot(g, g) / static_cast<double>(g.size());
  const double step = params.learning_rate / (std::sqrt(accumulator) + params.epsilon);
  for (size_t i = 0; i < w.size(); ++i) w[i] -= step * g[i];
  Renormalize(w);
}

}  // namespace reference
}  // namespace protopage
