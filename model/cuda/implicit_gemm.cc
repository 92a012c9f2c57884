#include "model/cuda/implicit_gemm.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/check.h"
#include "model/cuda/implicit_windows.h"
#include "model/cuda/kernel_support.h"
#include "model/cuda/tensor_core.h"

namespace protopage {
namespace {

// A block of threads makes kRows positions of y by 8 * N channels; a warp kRows / kWarps of the positions.
constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kRows = 128;
// Rows of the kernel, (kh, kw, c), that are multiplied at a time.
constexpr int kChunk = 32;
// Positions of which a thread loads 4 elements of a chunk.
constexpr int kRowsOfThread = kRows * kChunk / 4 / kThreads;
// Tiles of 16 rows of a warp.
constexpr int kTiles = kRows / kWarps / 16;

// What a thread brings of each chunk of the windows: 4 elements of kRowsOfThread positions, V of them after each other in one tap.
template <typename Core, int V>
class WindowLoader {
 public:
  using Stored = typename Core::Format::Stored;
  static constexpr int kRowStep = kRows / kRowsOfThread;

  __device__ WindowLoader(const ImplicitGeometry& g, const Stored* x)
      : x_(x),
        row_(static_cast<int>(threadIdx.x) / (kChunk / 4)),
        column_(static_cast<int>(threadIdx.x) % (kChunk / 4) * 4),
        next_(static_cast<uint32_t>(column_)) {
    for (int i = 0; i < kRowsOfThread; ++i) {
      const uint32_t position = blockIdx.x * kRows + static_cast<uint32_t>(row_ + i * kRowStep);
      uint32_t ow, oh;
      const int64_t image = g.by_out_h.Split(g.by_out_w.Split(position, &ow), &oh);
      // Positions past the end lie outside of every image.
      const int top =
          position < g.positions ? static_cast<int>(oh) * g.stride_h - g.pad_top : -g.kernel_h;
      const int left = static_cast<int>(ow) * g.stride_w - g.pad_left;
      corner_[i] = {static_cast<int16_t>(top), static_cast<int16_t>(left)};
      pixel_[i] = static_cast<int>((image * g.in_h + top) * g.in_w + left);
    }
  }

  // The next chunk.
  __device__ void Load(const ImplicitGeometry& g) {
    PROTOPAGE_UNROLL
    for (int l = 0; l < 4; l += V) {
      const WindowElement element(g, next_ + static_cast<uint32_t>(l));
      PROTOPAGE_UNROLL
      for (int i = 0; i < kRowsOfThread; ++i) {
        const int ih = corner_[i].top + element.kh, iw = corner_[i].left + element.kw;
        const bool inside = ih >= 0 && ih < g.in_h && iw >= 0 && iw < g.in_w;
        const int64_t pixel = static_cast<int64_t>(pixel_[i]) + element.kh * g.in_w + element.kw;
        const Pack<Stored, V> loaded =
            inside ? LoadPack<V>(x_ + pixel * g.in_c + element.c) : Pack<Stored, V>{};
        for (int v = 0; v < V; ++v) values_[i].v[l + v] = loaded.v[v];
      }
    }
    next_ += kChunk;
  }

  // a [kRows, Core::kRowWords]
  __device__ void Store(uint32_t* a) const {
    for (int i = 0; i < kRowsOfThread; ++i) {
      Core::StoreFour(values_[i],
                      a + (row_ + i * kRowStep) * Core::kRowWords + column_ / Core::kPerWord);
    }
  }

 private:
  // Where the windows begin, in their image and in all of x.
  struct Corner {
    int16_t top, left;
  };
  const Stored* const x_;
  const int row_, column_;
  uint32_t next_;  // The row of the kernel.
  Corner corner_[kRowsOfThread];
  int pixel_[kRowsOfThread];
  Pack<Stored, 4> values_[kRowsOfThread];
};

// What a thread brings of each chunk of w: 4 columns of some of its kChunk rows.
template <int N>
class KernelLoader {
 public:
  static constexpr int kPacks = 8 * N / 4;  // Of a row.
  static constexpr int kRowStep = kThreads / kPacks;
  static constexpr int kCount = kChunk / kRowStep;

  __device__ KernelLoader(const ImplicitGeometry& g, const float* w)
      : row_(static_cast<int>(threadIdx.x) / kPacks),
        col_(static_cast<int>(threadIdx.x) % kPacks * 4),
        inside_(static_cast<int>(blockIdx.y) * 8 * N + col_ < g.out_c),
        next_(w + static_cast<int64_t>(row_) * g.out_c + blockIdx.y * 8 * N + col_),
        left_(g.depth - row_) {}

  // The next chunk. Rows past the end are 0.
  __device__ void Load(const ImplicitGeometry& g) {
    for (int i = 0; i < kCount; ++i) {
      const float* const from = next_ + static_cast<int64_t>(i) * kRowStep * g.out_c;
      const bool inside = inside_ && i * kRowStep < left_;
      values_[i] = inside ? LoadPack<4>(from) : Pack<float, 4>{};
    }
    left_ -= kChunk;
    next_ += static_cast<int64_t>(kChunk) * g.out_c;
  }

  template <typename Core>
  __device__ void Store(uint32_t* b) const {
    for (int i = 0; i < kCount; ++i) {
      for (int l = 0; l < 4; ++l) {
        Core::template StoreB<8 * N>(values_[i].v[l], row_ + i * kRowStep, col_ + l, b);
      }
    }
  }

 private:
  const int row_, col_;
  const bool inside_;
  const float* next_;
  int left_;  // Rows from there on.
  Pack<float, 4> values_[kCount];
};

template <typename Core, int N, int V>
__global__ void __launch_bounds__(kThreads)
    ImplicitGemmKernel(ImplicitGeometry g, const typename Core::Format::Stored* x, const float* w,
                       const float* bias, bool relu, typename Core::Format::Stored* y) {
  uint32_t* const a = DynamicShared<uint32_t>();
  uint32_t* const b = a + kRows * Core::kRowWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;
  const int group = lane / 4, quarter = lane % 4;  // As model/cuda/platform.h has them.
  const uint32_t* const own_a = a + (warp * kTiles * 16 + group) * Core::kRowWords + quarter;

  float sums[kTiles][N][4] = {};
  WindowLoader<Core, V> windows(g, x);
  KernelLoader<N> kernel(g, w);
  windows.Load(g);
  kernel.Load(g);
  for (int done = 0; done < g.depth;) {
    __syncthreads();  // Who still reads the chunk before?
    windows.Store(a);
    kernel.template Store<Core>(b);
    __syncthreads();
    done += kChunk;
    if (done < g.depth) {  // On its way while this one is multiplied.
      windows.Load(g);
      kernel.Load(g);
    }
    PROTOPAGE_UNROLL
    for (int word = 0; word < kChunk / Core::kPerWord; word += 8) {
      uint32_t b_words[N][2];
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; ++n) {
        for (int half = 0; half < 2; ++half) {
          b_words[n][half] =
              b[Core::template IndexB<8 * N>(word + 4 * half + quarter, 8 * n + group)];
        }
      }
      PROTOPAGE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint32_t* const at = own_a + tile * 16 * Core::kRowWords + word;
        const uint32_t a_words[4] = {at[0], at[8 * Core::kRowWords], at[4],
                                     at[8 * Core::kRowWords + 4]};
        PROTOPAGE_UNROLL
        for (int n = 0; n < N; ++n) Core::MultiplyAdd(a_words, b_words[n], sums[tile][n]);
      }
    }
  }

  PROTOPAGE_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    PROTOPAGE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const uint32_t position =
          blockIdx.x * kRows +
          static_cast<uint32_t>((warp * kTiles + tile) * 16 + 8 * half + group);
      if (position >= g.positions) continue;
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; ++n) {
        const int col = static_cast<int>(blockIdx.y) * 8 * N + 8 * n + 2 * quarter;
        if (col >= g.out_c) continue;
        Pack<float, 2> out;
        for (int l = 0; l < 2; ++l) {
          const float sum = sums[tile][n][2 * half + l] + (bias != nullptr ? bias[col + l] : 0.0f);
          out.v[l] = relu && sum < 0.0f ? 0.0f : sum;
        }
        StoreFloats<typename Core::Format>(y + static_cast<int64_t>(position) * g.out_c + col, out);
      }
    }
  }
}

template <typename Core, int N, int V>
cudaError_t LaunchOfWidth(cudaStream_t stream, const ImplicitGeometry& g, const void* x,
                          const float* w, const float* bias, bool relu, void* y) {
  const size_t words = kRows * Core::kRowWords + Core::template WordsB<8 * N>(kChunk);
  const dim3 grid(static_cast<unsigned>(DivideUp(g.positions, kRows)),
                  static_cast<unsigned>(DivideUp(g.out_c, 8 * N)));
  return Launch(stream, grid, dim3(kThreads), words * sizeof(uint32_t),
                ImplicitGemmKernel<Core, N, V>, g, StoredAs<typename Core::Format>(x), w, bias,
                relu, StoredAs<typename Core::Format>(y));
}

__global__ void FlipKernelKernel(const float* w, int64_t taps, int64_t in_c, int64_t out_c,
                                 float* flipped) {
  const int64_t n = taps * in_c * out_c;
  for (int64_t i = FirstIndex(); i < n; i += IndexStride()) {
    const int64_t c = i % in_c, k = i / in_c % out_c, tap = i / (in_c * out_c);
    flipped[i] = w[((taps - 1 - tap) * in_c + c) * out_c + k];
  }
}

}  // namespace

bool ImplicitGemmTakes(const Window2d& window) {
  // Corners are in 16 bits, pixels in 31; FastDivide takes positions and elements of a block that is not full.
  constexpr int64_t kMaxSide = std::numeric_limits<int16_t>::max();
  constexpr int64_t kMaxPixels = std::numeric_limits<int32_t>::max() - kRows;
  return window.out_c % 8 == 0 &&
         std::max({window.in_h, window.in_w, window.kernel_h, window.kernel_w}) <= kMaxSide &&
         std::max({window.batch * window.in_h * window.in_w,
                   window.batch * window.out_h * window.out_w,
                   window.kernel_h * window.kernel_w * window.in_c}) <= kMaxPixels;
}

cudaError_t LaunchImplicitGemm(cudaStream_t stream, const Window2d& window, Precision precision,
                               const void* x, const float* w, const float* bias, bool relu,
                               void* y) {
  PROTOPAGE_CHECK(ImplicitGemmTakes(window) && Aligned({x, w, y}));
  const ImplicitGeometry g(window);
  return WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    const auto launch = [&](auto columns, auto width) {
      return LaunchOfWidth<Core, decltype(columns)::value, decltype(width)::value>(stream, g, x, w,
                                                                                   bias, relu, y);
    };
    return WithTiles(window, launch);
  });
}

bool HasGradientWindow(const Window2d& window) {
  return window.stride_h == 1 && window.stride_w == 1 && window.pad_top < window.kernel_h &&
         window.pad_left < window.kernel_w;
}

Window2d GradientWindow(const Window2d& window) {
  Window2d gradient = window;
  gradient.in_h = window.out_h, gradient.in_w = window.out_w, gradient.in_c = window.out_c;
  gradient.out_h = window.in_h, gradient.out_w = window.in_w, gradient.out_c = window.in_c;
  gradient.pad_top = window.kernel_h - 1 - window.pad_top;
  gradient.pad_left = window.kernel_w - 1 - window.pad_left;
  return gradient;
}

cudaError_t LaunchFlipKernel(cudaStream_t stream, const Window2d& window, const float* w,
                             float* flipped) {
  const int64_t taps = window.kernel_h * window.kernel_w;
  return Launch(stream, GridFor(taps * window.in_c * window.out_c), kBlockThreads, 0,
                FlipKernelKernel, w, taps, window.in_c, window.out_c, flipped);
}

}  // namespace protopage
