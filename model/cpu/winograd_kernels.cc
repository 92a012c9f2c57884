#include "protopage/model/cpu/winograd_kernels.h"

namespace protopage {
namespace PROTOPAGE_ISA {
namespace {

#ifdef __AVX512F__
constexpr int kWidth = 16;
#else
constexpr int kWidth = 8;
#endif
// Of the compiler: + and - are those of the elements.
using Vec = float __attribute__((vector_size(4 * kWidth)));
using Unaligned = float __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

inline Vec Load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void Store(float* p, Vec v) { *reinterpret_cast<Unaligned*>(p) = v; }
// A NaN stays one.
inline Vec Relu(Vec v) { return v < 0.0f ? Vec{} : v; }

#define PROTOPAGE_UNROLL _Pragma("GCC unroll 16")

// Each of the functions below takes a column and makes another; a matrix is transformed by its
// columns and then, as columns of its transpose, by its rows.

//       1  0 -1  0
// B^T = 0  1  1  0
//       0 -1  1  0
//       0  1  0 -1
struct InputMatrix {
  static constexpr int kIn = 4, kOut = 4;
  static void Apply(const Vec (&in)[4], Vec (&out)[4]) {
    out[0] = in[0] - in[2];
    out[1] = in[1] + in[2];
    out[2] = in[2] - in[1];
    out[3] = in[1] - in[3];
  }
};
// B
struct InputGradientMatrix {
  static constexpr int kIn = 4, kOut = 4;
  static void Apply(const Vec (&in)[4], Vec (&out)[4]) {
    out[0] = in[0];
    out[1] = in[1] - in[2] + in[3];
    out[2] = in[1] + in[2] - in[0];
    out[3] = -in[3];
  }
};
// A^T = 1  1  1  0
//       0  1 -1 -1
struct OutputMatrix {
  static constexpr int kIn = 4, kOut = 2;
  static void Apply(const Vec (&in)[4], Vec (&out)[2]) {
    out[0] = in[0] + in[1] + in[2];
    out[1] = in[1] - in[2] - in[3];
  }
};
// A
struct OutputGradientMatrix {
  static constexpr int kIn = 2, kOut = 4;
  static void Apply(const Vec (&in)[2], Vec (&out)[4]) {
    out[0] = in[0];
    out[1] = in[0] + in[1];
    out[2] = in[0] - in[1];
    out[3] = -in[1];
  }
};
//      1   0   0
// G = 1/2 1/2 1/2
//     1/2 -1/2 1/2
//      0   0   1
struct KernelMatrix {
  static constexpr int kIn = 3, kOut = 4;
  static void Apply(const Vec (&in)[3], Vec (&out)[4]) {
    const Vec even = 0.5f * (in[0] + in[2]), odd = 0.5f * in[1];
    out[0] = in[0];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = in[2];
  }
};
// G^T
struct KernelGradientMatrix {
  static constexpr int kIn = 4, kOut = 3;
  static void Apply(const Vec (&in)[4], Vec (&out)[3]) {
    const Vec even = 0.5f * (in[1] + in[2]);
    out[0] = in[0] + even;
    out[1] = 0.5f * (in[1] - in[2]);
    out[2] = even + in[3];
  }
};

// out [kOut, kOut] = M in M^T, of load(i) and by store(i, value), for the elements row by row.
template <typename M, typename LoadElement, typename StoreElement>
__attribute__((always_inline)) inline void Transform(const LoadElement& load,
                                                     const StoreElement& store) {
  Vec half[M::kOut][M::kIn];  // M in.
  PROTOPAGE_UNROLL
  for (int column = 0; column < M::kIn; ++column) {
    Vec in[M::kIn], out[M::kOut];
    PROTOPAGE_UNROLL
    for (int i = 0; i < M::kIn; ++i) in[i] = load(i * M::kIn + column);
    M::Apply(in, out);
    PROTOPAGE_UNROLL
    for (int i = 0; i < M::kOut; ++i) half[i][column] = out[i];
  }
  PROTOPAGE_UNROLL
  for (int row = 0; row < M::kOut; ++row) {
    Vec out[M::kOut];
    M::Apply(half[row], out);
    PROTOPAGE_UNROLL
    for (int i = 0; i < M::kOut; ++i) store(row * M::kOut + i, out[i]);
  }
}

void TransformInput(const float* const* pixels, int64_t channels, float* v, int64_t v_stride) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    Transform<InputMatrix>([&](int i) { return Load(pixels[i] + c); },
                           [&](int i, Vec value) { Store(v + i * v_stride + c, value); });
  }
}

void AddInputGradient(const float* d_v, int64_t d_v_stride, int64_t channels,
                      float* const* pixels) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    Transform<InputGradientMatrix>(
        [&](int i) { return Load(d_v + i * d_v_stride + c); },
        [&](int i, Vec value) { Store(pixels[i] + c, Load(pixels[i] + c) + value); });
  }
}

void TransformOutput(const float* m, int64_t m_stride, int64_t channels, const float* bias,
                     bool relu, float* const* y) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    const Vec start = bias != nullptr ? Load(bias + c) : Vec{};
    Transform<OutputMatrix>([&](int i) { return Load(m + i * m_stride + c); },
                            [&](int i, Vec value) {
                              if (y[i] == nullptr) return;
                              value += start;
                              Store(y[i] + c, relu ? Relu(value) : value);
                            });
  }
}

void TransformOutputGradient(const float* const* d_y, int64_t channels, float* d_m,
                             int64_t d_m_stride) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    Transform<OutputGradientMatrix>(
        [&](int i) { return Load(d_y[i] + c); },
        [&](int i, Vec value) { Store(d_m + i * d_m_stride + c, value); });
  }
}

void TransformKernel(const float* w, int64_t w_stride, int64_t n, float* u, int64_t u_stride) {
  for (int64_t c = 0; c < n; c += kWidth) {
    Transform<KernelMatrix>([&](int i) { return Load(w + i * w_stride + c); },
                            [&](int i, Vec value) { Store(u + i * u_stride + c, value); });
  }
}

void TransformKernelGradient(const float* d_u, int64_t d_u_stride, int64_t n, float* d_w,
                             int64_t d_w_stride) {
  for (int64_t c = 0; c < n; c += kWidth) {
    Transform<KernelGradientMatrix>(
        [&](int i) { return Load(d_u + i * d_u_stride + c); },
        [&](int i, Vec value) { Store(d_w + i * d_w_stride + c, value); });
  }
}

}  // namespace

const WinogradKernels& GetWinogradKernels() {
  static constexpr WinogradKernels kernels = {TransformInput,  AddInputGradient,
                                              TransformOutput, TransformOutputGradient,
                                              TransformKernel, TransformKernelGradient};
  return kernels;
}

}  // namespace PROTOPAGE_ISA
}  // namespace protopage
