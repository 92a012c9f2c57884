#include "protopage/model/cpu/vector_kernels.h"

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "protopage/base/float_bits.h"
#include "protopage/model/margin_target.h"

// Loops are written so that the compiler makes vectors of them: independent elements, or
// sums in a fixed number of lanes. A call in place passes one array twice, which has no
// dependence between elements but fails the compiler's overlap test; hence the pragma.
#ifdef __clang__
#define PROTOPAGE_VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define PROTOPAGE_VECTOR_LOOP _Pragma("GCC ivdep")
#endif

namespace protopage {
namespace PROTOPAGE_ISA {
namespace {

// --- Elementwise -------------------------------------------------------------------------------

void ImagesToFloat(const uint8_t* x, int64_t n, float scale, float shift, float* y) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = scale * static_cast<float>(x[i]) + shift;
}

void Fill(float* x, int64_t n, float value) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) x[i] = value;
}

// Comparisons are written so that a NaN passes: a step that is not finite must be seen.
void ReluForward(const float* x, int64_t n, float* y) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

void ReluBackward(const float* y, const float* d_y, int64_t n, float* d_x) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) d_x[i] = y[i] <= 0.0f ? 0.0f : d_y[i];
}

void Add(const float* a, const float* b, int64_t n, float* y) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void Axpy(float alpha, const float* x, int64_t n, float* y) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

void Scale(float alpha, int64_t n, float* x) {
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) x[i] *= alpha;
}

// Philox4x32 of base/philox.h, for the counters `first` to `first` + 7, each in a lane.
// Products of 32 bits come in 64 bits from the even lanes; the odd ones are shifted down first.
struct PhiloxLanes {
  __m256i word[4];
};

inline void MultiplyLanes(__m256i x, __m256i factor, __m256i* high, __m256i* low) {
  const __m256i even = _mm256_mul_epu32(x, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
  *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}

inline PhiloxLanes Philox8(uint64_t key, uint64_t step, uint64_t first) {
  alignas(32) uint32_t low[8], high[8];
  for (int lane = 0; lane < 8; ++lane) {
    low[lane] = static_cast<uint32_t>(first + static_cast<uint64_t>(lane));
    high[lane] = static_cast<uint32_t>((first + static_cast<uint64_t>(lane)) >> 32);
  }
  __m256i c0 = _mm256_load_si256(reinterpret_cast<const __m256i*>(low));
  __m256i c1 = _mm256_load_si256(reinterpret_cast<const __m256i*>(high));
  __m256i c2 = _mm256_set1_epi32(static_cast<int32_t>(step));
  __m256i c3 = _mm256_set1_epi32(static_cast<int32_t>(step >> 32));
  const __m256i factor0 = _mm256_set1_epi64x(0xD2511F53);
  const __m256i factor1 = _mm256_set1_epi64x(0xCD9E8D57);
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    __m256i high0, low0, high1, low1;
    MultiplyLanes(c0, factor0, &high0, &low0);
    MultiplyLanes(c2, factor1, &high1, &low1);
    c0 = _mm256_xor_si256(_mm256_xor_si256(high1, c1), _mm256_set1_epi32(static_cast<int32_t>(k0)));
    c2 = _mm256_xor_si256(_mm256_xor_si256(high0, c3), _mm256_set1_epi32(static_cast<int32_t>(k1)));
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The factors of 8 elements from their words: `scale` where UnitFloat(word) >= rate.
inline __m256 DropoutFactors(__m256i words, __m256 rate, __m256 scale) {
  const __m256 unit = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(words, 8)),
                                    _mm256_set1_ps(1.0f / 16777216.0f));
  return _mm256_and_ps(scale, _mm256_cmp_ps(unit, rate, _CMP_GE_OQ));
}

void Dropout(float rate, uint64_t key, uint64_t step, int64_t first, const float* x, int64_t n,
             float* y) {
  constexpr int kStep = 32;  // 8 counters of 4 words.
  const float scale = 1.0f / (1.0f - rate);
  const __m256 rates = _mm256_set1_ps(rate), scales = _mm256_set1_ps(scale);
  alignas(32) float factor[kStep];
  for (int64_t i = 0; i < n; i += kStep) {
    const PhiloxLanes p = Philox8(key, step, static_cast<uint64_t>((first + i) / 4));
    // From a word an array to the 4 words of a counter after each other: a transpose of 4 x 4 in
    // each half, which leaves the counters of the halves 4 apart.
    const __m256i a = _mm256_unpacklo_epi32(p.word[0], p.word[1]);
    const __m256i b = _mm256_unpackhi_epi32(p.word[0], p.word[1]);
    const __m256i c = _mm256_unpacklo_epi32(p.word[2], p.word[3]);
    const __m256i d = _mm256_unpackhi_epi32(p.word[2], p.word[3]);
    const __m256i pair0 = _mm256_unpacklo_epi64(a, c);  // Counters 0 and 4.
    const __m256i pair1 = _mm256_unpackhi_epi64(a, c);  // 1 and 5.
    const __m256i pair2 = _mm256_unpacklo_epi64(b, d);  // 2 and 6.
    const __m256i pair3 = _mm256_unpackhi_epi64(b, d);  // 3 and 7.
    const __m256i words[4] = {_mm256_permute2x128_si256(pair0, pair1, 0x20),
                              _mm256_permute2x128_si256(pair2, pair3, 0x20),
                              _mm256_permute2x128_si256(pair0, pair1, 0x31),
                              _mm256_permute2x128_si256(pair2, pair3, 0x31)};
    if (i + kStep <= n) {
      for (int q = 0; q < 4; ++q) {
        _mm256_storeu_ps(y + i + 8 * q, _mm256_mul_ps(_mm256_loadu_ps(x + i + 8 * q),
                                                      DropoutFactors(words[q], rates, scales)));
      }
      continue;
    }
    for (int q = 0; q < 4; ++q) {
      _mm256_store_ps(factor + 8 * q, DropoutFactors(words[q], rates, scales));
    }
    for (int64_t j = 0; i + j < n; ++j) y[i + j] = x[i + j] * factor[j];
  }
}

// --- Pooling -----------------------------------------------------------------------------------

void MaxPoolForward(const PoolGeometry& g, const float* x, float* y, int32_t* argmax) {
  for (int64_t oh = 0; oh < g.out_h; ++oh) {
    for (int64_t ow = 0; ow < g.out_w; ++ow) {
      bool seen = false;
      for (int64_t kh = 0; kh < g.kernel_h; ++kh) {
        const int64_t ih = oh * g.stride_h - g.pad_top + kh;
        if (ih < 0 || ih >= g.in_h) continue;
        for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
          const int64_t iw = ow * g.stride_w - g.pad_left + kw;
          if (iw < 0 || iw >= g.in_w) continue;
          const float* in = x + (ih * g.in_w + iw) * g.c;
          const int32_t position = static_cast<int32_t>(kh * g.kernel_w + kw);
          if (!seen) {
            for (int64_t j = 0; j < g.c; ++j) y[j] = in[j];
            for (int64_t j = 0; j < g.c; ++j) argmax[j] = position;
            seen = true;
            continue;
          }
          PROTOPAGE_VECTOR_LOOP
          for (int64_t j = 0; j < g.c; ++j) {
            const bool larger = (in[j] > y[j]) | (in[j] != in[j]);
            y[j] = larger ? in[j] : y[j];
            argmax[j] = larger ? position : argmax[j];
          }
        }
      }
      y += g.c;
      argmax += g.c;
    }
  }
}

void MaxPoolBackward(const PoolGeometry& g, const float* d_y, const int32_t* argmax, float* d_x) {
  std::memset(d_x, 0, sizeof(float) * g.in_h * g.in_w * g.c);
  for (int64_t oh = 0; oh < g.out_h; ++oh) {
    for (int64_t ow = 0; ow < g.out_w; ++ow) {
      for (int64_t kh = 0; kh < g.kernel_h; ++kh) {
        const int64_t ih = oh * g.stride_h - g.pad_top + kh;
        if (ih < 0 || ih >= g.in_h) continue;
        for (int64_t kw = 0; kw < g.kernel_w; ++kw) {
          const int64_t iw = ow * g.stride_w - g.pad_left + kw;
          if (iw < 0 || iw >= g.in_w) continue;
          float* out = d_x + (ih * g.in_w + iw) * g.c;
          const int32_t position = static_cast<int32_t>(kh * g.kernel_w + kw);
          PROTOPAGE_VECTOR_LOOP
          for (int64_t j = 0; j < g.c; ++j) out[j] += argmax[j] == position ? d_y[j] : 0.0f;
        }
      }
      d_y += g.c;
      argmax += g.c;
    }
  }
}

void ColumnSums(const float* x, int64_t rows, int64_t c, float* sums) {
  for (int64_t j = 0; j < c; ++j) sums[j] = 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) sums[j] += x[i * c + j];
  }
}

void AveragePoolForward(const float* x, int64_t rows, int64_t c, float* y) {
  ColumnSums(x, rows, c, y);
  const float scale = 1.0f / static_cast<float>(rows);
  for (int64_t j = 0; j < c; ++j) y[j] *= scale;
}

void AveragePoolBackward(const float* d_y, int64_t rows, int64_t c, float* d_x) {
  const float scale = 1.0f / static_cast<float>(rows);
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) d_x[i * c + j] = scale * d_y[j];
  }
}

// --- Columns -----------------------------------------------------------------------------------

void ColumnMoments(const float* x, int64_t rows, int64_t c, float* mean, float* m2) {
  ColumnSums(x, rows, c, mean);
  const float scale = 1.0f / static_cast<float>(rows);
  for (int64_t j = 0; j < c; ++j) {
    mean[j] *= scale;
    m2[j] = 0.0f;
  }
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) {
      const float d = x[i * c + j] - mean[j];
      m2[j] += d * d;
    }
  }
}

void NormalizeColumns(const float* x, int64_t rows, int64_t c, const float* mean,
                      const float* scale, const float* beta, bool relu, float* y) {
  // Below every number if there is no relu, so that one loop serves both.
  const float floor = relu ? 0.0f : -INFINITY;
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) {
      const float v = (x[i * c + j] - mean[j]) * scale[j] + beta[j];
      y[i * c + j] = v < floor ? floor : v;
    }
  }
}

void NormBackwardSums(const float* x, const float* y, float* d_y, int64_t rows, int64_t c,
                      const float* mean, const float* inv_std, float* sums) {
  float* sum_x = sums + c;
  for (int64_t j = 0; j < 2 * c; ++j) sums[j] = 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    if (y != nullptr) ReluBackward(y + i * c, d_y + i * c, c, d_y + i * c);
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) {
      const float g = d_y[i * c + j];
      sums[j] += g;
      sum_x[j] += g * ((x[i * c + j] - mean[j]) * inv_std[j]);
    }
  }
}

void NormBackward(const float* x, const float* d_y, int64_t rows, int64_t c, const float* mean,
                  const float* inv_std, const float* a, const float* b, const float* e,
                  float* d_x) {
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) {
      const float x_hat = (x[i * c + j] - mean[j]) * inv_std[j];
      d_x[i * c + j] = a[j] * (d_y[i * c + j] - b[j] - x_hat * e[j]);
    }
  }
}

void AddBias(const float* x, const float* bias, int64_t rows, int64_t c, float* y) {
  for (int64_t i = 0; i < rows; ++i) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < c; ++j) y[i * c + j] = x[i * c + j] + bias[j];
  }
}

void CopyRows(const float* x, int64_t x_stride, int64_t rows, int64_t c, float* y,
              int64_t y_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(y + i * y_stride, x + i * x_stride, sizeof(float) * c);
  }
}

void SumBlocks(const float* x, int64_t blocks, int64_t stride, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i];
  for (int64_t b = 1; b < blocks; ++b) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] += x[b * stride + i];
  }
}

// --- Rows --------------------------------------------------------------------------------------

// Sums in double over 8 lanes, added in a fixed order.
constexpr int kLanes = 8;

double SumLanes(const double* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double Dot(const float* x, const float* y, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
    }
  }
  for (int l = 0; i + l < n; ++l) {
    lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
  }
  return SumLanes(lanes);
}

double Sum(const float* x, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(x[i + l]);
  }
  for (int l = 0; i + l < n; ++l) lanes[l] += static_cast<double>(x[i + l]);
  return SumLanes(lanes);
}

// Below it a norm counts as this; Keras' l2_normalize has 1e-10 for the square.
constexpr double kMinNorm = 1e-5;

void L2NormalizeRows(const float* x, int64_t rows, int64_t d, float* y, float* norms) {
  for (int64_t i = 0; i < rows; ++i) {
    const double length = std::sqrt(Dot(x + i * d, x + i * d, d));
    const double norm = length < kMinNorm ? kMinNorm : length;
    norms[i] = static_cast<float>(norm);
    const float scale = static_cast<float>(1.0 / norm);
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < d; ++j) y[i * d + j] = x[i * d + j] * scale;
  }
}

void L2NormalizeRowsBackward(const float* y, const float* norms, const float* d_y, int64_t rows,
                             int64_t d, float* d_x) {
  for (int64_t i = 0; i < rows; ++i) {
    const float along = static_cast<float>(Dot(d_y + i * d, y + i * d, d));
    const float scale = 1.0f / norms[i];
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < d; ++j) {
      d_x[i * d + j] = (d_y[i * d + j] - along * y[i * d + j]) * scale;
    }
  }
}

// exp(x) for x <= 0, within 2 units in the last place; 0 below the smallest normal number. The
// range reduction and the polynomial are those of Cephes' expf. A NaN stays NaN.
inline float ExpNegative(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float n = std::floor(clamped * 1.44269504088896341f + 0.5f);
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  // Of a NaN any power will do.
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n >= -126.0f ? n : 0.0f) + 127)
                        << 23;
  return x < -87.0f ? 0.0f : p * FloatFromBits(bits);
}

void MarginSoftmax(const MarginStep& step, const float* cosines, const int32_t* slots, int64_t rows,
                   int64_t k, float* losses, float* d_cosines, int32_t* predicted) {
  for (int64_t i = 0; i < rows; ++i) {
    const float* c = cosines + i * k;
    float* d = d_cosines + i * k;
    const int32_t y = slots[i];
    int64_t best = 0;
    for (int64_t j = 1; j < k; ++j) {
      if (c[j] > c[best]) best = j;
    }
    predicted[i] = static_cast<int32_t>(best);

    double target, slope;
    MarginTarget(step.params, static_cast<double>(c[y]), &target, &slope);
    const float target_cosine = static_cast<float>(target);
    // The largest of the logits over `scale`.
    float largest = target_cosine;
    for (int64_t j = 0; j < k; ++j) {
      if (j != y && c[j] > largest) largest = c[j];
    }
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < k; ++j) d[j] = ExpNegative(step.params.scale * (c[j] - largest));
    d[y] = ExpNegative(step.params.scale * (target_cosine - largest));
    const double sum = Sum(d, k);
    losses[i] = static_cast<float>(
        std::log(sum) - static_cast<double>(step.params.scale) *
                            (static_cast<double>(target_cosine) - static_cast<double>(largest)));
    const double to_gradient = static_cast<double>(step.grad_scale) * step.params.scale;
    const double target_share = d[y] / sum;
    const float factor = static_cast<float>(to_gradient / sum);
    PROTOPAGE_VECTOR_LOOP
    for (int64_t j = 0; j < k; ++j) d[j] *= factor;
    d[y] = static_cast<float>(to_gradient * (target_share - 1.0) * slope);
  }
}

bool AllFinite(const float* x, int64_t n) {
  // Every bit of the exponent is set in infinities and NaNs only.
  uint32_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    found |= (FloatBits(x[i]) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  }
  return found == 0;
}

double SquareSum(const float* x, int64_t n) { return Dot(x, x, n); }

// --- Optimizers --------------------------------------------------------------------------------

void Adam(const AdamStep& step, const UpdateRange& range) {
  float* w = range.value;
  const float* g = range.gradient;
  float* m = range.state1;
  float* v = range.state2;
  const float keep1 = 1.0f - step.beta1;
  const float keep2 = 1.0f - step.beta2;
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < range.n; ++i) {
    m[i] = step.beta1 * m[i] + keep1 * g[i];
    v[i] = step.beta2 * v[i] + keep2 * (g[i] * g[i]);
    w[i] = step.decay * w[i] -
           step.scale1 * m[i] / (std::sqrt(v[i]) * step.inverse_sqrt_bias2 + step.epsilon);
  }
}

void Sgd(const SgdStep& step, const UpdateRange& range) {
  float* w = range.value;
  const float* g = range.gradient;
  float* v = range.state1;
  if (v == nullptr) {
    PROTOPAGE_VECTOR_LOOP
    for (int64_t i = 0; i < range.n; ++i) {
      w[i] -= step.learning_rate * (g[i] + step.weight_decay * w[i]);
    }
    return;
  }
  const float ahead = step.nesterov ? step.momentum : 1.0f;
  const float direct = step.nesterov ? 1.0f : 0.0f;
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < range.n; ++i) {
    const float gradient = g[i] + step.weight_decay * w[i];
    v[i] = step.momentum * v[i] + gradient;
    w[i] -= step.learning_rate * (direct * gradient + ahead * v[i]);
  }
}

bool IsZero(const float* x, int64_t n) {
  bool any = false;
  for (int64_t i = 0; i < n; ++i) any |= x[i] != 0.0f;
  return !any;
}

// x -= (x . w) w
void Project(const float* w, int64_t n, float* x) {
  const double along = Dot(x, w, n);
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(static_cast<double>(x[i]) - along * static_cast<double>(w[i]));
  }
}

// w /= |w|
void Renormalize(int64_t n, float* w) {
  const double scale = 1.0 / std::sqrt(Dot(w, w, n));
  PROTOPAGE_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) w[i] = static_cast<float>(static_cast<double>(w[i]) * scale);
}

void RowMomentum(float learning_rate, float momentum, int64_t rows, int64_t d, float* w_rows,
                 float* v_rows, const int32_t* away, float* g_rows) {
  for (int64_t k = 0; k < rows; ++k) {
    float* w = w_rows + k * d;
    float* v = v_rows + k * d;
    float* g = g_rows + k * d;
    // Renormalising would move the last bits of a row that nothing moves.
    if (IsZero(v, d) && IsZero(g, d)) continue;
    if (away[k] > 0) {
      const float decay =
          static_cast<float>(std::pow(static_cast<double>(momentum), static_cast<double>(away[k])));
      Scale(decay, d, v);
    }
    Project(w, d, v);
    Project(w, d, g);
    PROTOPAGE_VECTOR_LOOP
    for (int64_t i = 0; i < d; ++i) {
      v[i] = momentum * v[i] + g[i];
      w[i] -= learning_rate * v[i];
    }
    Renormalize(d, w);
    Project(w, d, v);
  }
}

void RowAdagrad(float learning_rate, float epsilon, int64_t rows, int64_t d, float* w_rows,
                float* accumulator, float* g_rows) {
  for (int64_t k = 0; k < rows; ++k) {
    float* w = w_rows + k * d;
    float* g = g_rows + k * d;
    if (IsZero(g, d)) continue;
    Project(w, d, g);
    const double h = static_cast<double>(accumulator[k]) + Dot(g, g, d) / static_cast<double>(d);
    accumulator[k] = static_cast<float>(h);
    const float step =
        static_cast<float>(learning_rate / (std::sqrt(h) + static_cast<double>(epsilon)));
    PROTOPAGE_VECTOR_LOOP
    for (int64_t i = 0; i < d; ++i) w[i] -= step * g[i];
    Renormalize(d, w);
  }
}

}  // namespace

const VectorKernels& GetVectorKernels() {
  static constexpr VectorKernels kernels = {
      ImagesToFloat,
      Fill,
      ReluForward,
      ReluBackward,
      Add,
      Axpy,
      Scale,
      Dropout,
      MaxPoolForward,
      MaxPoolBackward,
      AveragePoolForward,
      AveragePoolBackward,
      ColumnMoments,
      ColumnSums,
      NormalizeColumns,
      NormBackwardSums,
      NormBackward,
      AddBias,
      CopyRows,
      SumBlocks,
      L2NormalizeRows,
      L2NormalizeRowsBackward,
      MarginSoftmax,
      AllFinite,
      SquareSum,
      Adam,
      Sgd,
      RowMomentum,
      RowAdagrad,
  };
  return kernels;
}

}  // namespace PROTOPAGE_ISA
}  // namespace protopage
