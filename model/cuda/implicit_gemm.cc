#include "protopage/model/cuda/implicit_gemm.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "protopage/base/check.h"
#include "protopage/model/cuda/implicit_windows.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/number_format.h"
#include "protopage/model/cuda/tensor_core.h"

namespace protopage {
namespace {

// A block of threads computes kRows positions of y by 8 * N channels, a warp 32 of these positions.
constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kTiles = 2;  // Of 16 positions.
constexpr int kRows = kWarps * kTiles * 16;
// A chunk, which is multiplied at a time: this many words of the rows (kh, kw, c) of the kernel. A
// pipeline of kStages copies them.
constexpr int kChunkWords = 16, kStages = 3;
constexpr int kWords = kRowWords<kChunkWords>;
// Packs of 16 bytes in a row of a chunk. A thread copies those of one column, in rows kRowStep
// apart.
constexpr int kCopies = kChunkWords / 4;
constexpr int kRowStep = kThreads / kCopies;

// Copies chunks of the windows, [kRows, kWords].
template <typename Core>
class WindowLoader {
 public:
  using Stored = typename Core::Format::Stored;
  static constexpr int kCount = kRows / kRowStep;

  __device__ WindowLoader(const ImplicitGeometry& g, const Stored* x)
      : x_(x),
        row_(static_cast<int>(threadIdx.x) / kCopies),
        word_(static_cast<int>(threadIdx.x) % kCopies * 4),
        next_(static_cast<uint32_t>(word_ * Core::kPerWord)) {
    PROTOPAGE_UNROLL
    for (int i = 0; i < kCount; ++i) {
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

  // Advances to the next chunk.
  __device__ void Load(const ImplicitGeometry& g, uint32_t* a) {
    const WindowElement element(g, next_);
    const Stored* const tap =
        x_ + static_cast<int64_t>(element.kh * g.in_w + element.kw) * g.in_c + element.c;
    PROTOPAGE_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const bool inside = IsBelow(corner_[i].top + element.kh, g.in_h) &&
                          IsBelow(corner_[i].left + element.kw, g.in_w);
      CopyAsync16(a + (row_ + i * kRowStep) * kWords + word_,
                  inside ? tap + static_cast<int64_t>(pixel_[i]) * g.in_c : x_, inside);
    }
    next_ += kChunkWords * Core::kPerWord;
  }

 private:
  // The origins of the windows, in their image and in x.
  struct Corner {
    int16_t top, left;
  };
  const Stored* const x_;
  const int row_, word_;
  uint32_t next_;  // The row of the kernel.
  Corner corner_[kCount];
  int pixel_[kCount];
};

// Copies chunks of the packed kernel, [Columns, kWords].
template <typename Core, int Columns>
class KernelLoader {
 public:
  static constexpr int kCount = Columns / kRowStep;

  __device__ KernelLoader(const ImplicitGeometry& g, const typename Core::Weight* packed,
                          int64_t row_weights)
      : row_(static_cast<int>(threadIdx.x) / kCopies),
        word_(static_cast<int>(threadIdx.x) % kCopies * 4),
        columns_(g.out_c - static_cast<int>(blockIdx.y) * Columns),
        row_weights_(row_weights),
        packed_(packed),
        next_(packed + (static_cast<int64_t>(blockIdx.y) * Columns + row_) * row_weights +
              word_ * Core::kPerWord) {}

  // Advances to the next chunk.
  __device__ void Load(uint32_t* b) {
    PROTOPAGE_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const int row = row_ + i * kRowStep;
      const bool inside = row < columns_;
      CopyAsync16(b + row * kWords + word_, inside ? next_ + i * kRowStep * row_weights_ : packed_,
                  inside);
    }
    next_ += kChunkWords * Core::kPerWord;
  }

 private:
  const int row_, word_, columns_;
  const int64_t row_weights_;
  const typename Core::Weight* const packed_;
  const typename Core::Weight* next_;
};

// The weights in a row of the packed kernel, rounded up to whole chunks.
template <typename Core>
__host__ __device__ int64_t RowWeights(int64_t depth) {
  constexpr int64_t kChunk = kChunkWords * Core::kPerWord;
  return (depth + kChunk - 1) / kChunk * kChunk;
}

template <typename Core, int N>
__global__ void __launch_bounds__(kThreads)
    ImplicitGemmKernel(ImplicitGeometry g, const typename Core::Format::Stored* x,
                       const typename Core::Weight* packed, const float* bias, bool relu,
                       typename Core::Format::Stored* y) {
  constexpr int kColumns = 8 * N;
  constexpr int kStageWords = (kRows + kColumns) * kWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;

  const int chunks = static_cast<int>(RowWeights<Core>(g.depth) / (kChunkWords * Core::kPerWord));
  WindowLoader<Core> windows(g, x);
  KernelLoader<Core, kColumns> kernel(g, packed, RowWeights<Core>(g.depth));
  const auto load = [&](int, uint32_t* a) {
    windows.Load(g, a);
    kernel.Load(a + kRows * kWords);
  };
  float sums[kTiles][N][4] = {};
  const auto multiply = [&](const uint32_t* a) {
    const uint32_t* const b = a + kRows * kWords;
    PROTOPAGE_UNROLL
    for (int word = 0; word < kChunkWords; word += 8) {
      typename Core::Columns of_b[N];
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; n += 2) LoadColumns<Core>(b + 8 * n * kWords + word, kWords, of_b + n);
      PROTOPAGE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const typename Core::Rows of_a =
            LoadRows<Core>(a + (warp * kTiles + tile) * 16 * kWords + word, kWords);
        PROTOPAGE_UNROLL
        for (int n = 0; n < N; ++n) Core::MultiplyAdd(of_a, of_b[n], sums[tile][n]);
      }
    }
  };
  InStages<kStages, kStageWords>(chunks, load, multiply);

  const int group = lane / 4, quarter = lane % 4;  // As model/cuda/platform.h has them.
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
        const int col = static_cast<int>(blockIdx.y) * kColumns + 8 * n + 2 * quarter;
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

template <typename Core, int N>
cudaError_t LaunchOfWidth(cudaStream_t stream, const ImplicitGeometry& g, const void* x,
                          const void* packed, const float* bias, bool relu, void* y) {
  constexpr int kColumns = 8 * N;
  constexpr size_t kBytes = sizeof(uint32_t) * kStages * (kRows + kColumns) * kWords;
  const dim3 grid(static_cast<unsigned>(DivideUp(g.positions, kRows)),
                  static_cast<unsigned>(DivideUp(g.out_c, kColumns)));
  return Launch(stream, grid, dim3(kThreads), kBytes, ImplicitGemmKernel<Core, N>, g,
                StoredAs<typename Core::Format>(x),
                static_cast<const typename Core::Weight*>(packed), bias, relu,
                StoredAs<typename Core::Format>(y));
}

// Packs a kernel of `taps` taps and `channels` channels of x, in_c with padding, to packed
// [columns, row_weights]. Element (tap, c) of a column is
// w[tap * tap_step + c * channel_step + column * column_step].
struct KernelOrder {
  int taps, channels, in_c, columns;
  int64_t tap_step, channel_step, column_step;
};
template <typename Core>
__global__ void PackKernelKernel(KernelOrder order, const float* w, int64_t row_weights,
                                 typename Core::Weight* packed) {
  const int64_t n = order.columns * row_weights;
  for (int64_t i = FirstIndex(); i < n; i += IndexStride()) {
    // Rows of the kernel and columns fit into 31 bits.
    const int column = static_cast<int>(i / row_weights);
    const int row = static_cast<int>(i - column * row_weights);
    const int tap = row / order.in_c, c = row - tap * order.in_c;
    const bool inside = tap < order.taps && c < order.channels;
    packed[i] = Core::ToWeight(
        inside ? w[tap * order.tap_step + c * order.channel_step + column * order.column_step]
               : 0.0f);
  }
}

cudaError_t LaunchPack(cudaStream_t stream, Precision precision, const KernelOrder& order,
                       const float* w, void* packed) {
  return WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    const int64_t row_weights = RowWeights<Core>(int64_t{order.taps} * order.in_c);
    return Launch(stream, GridFor(order.columns * row_weights), kBlockThreads, 0,
                  PackKernelKernel<Core>, order, w, row_weights,
                  static_cast<typename Core::Weight*>(packed));
  });
}

template <typename Stored>
__global__ void PadChannelsKernel(const Stored* x, int64_t pixels, int channels,
                                  int padded_channels, Stored* padded) {
  constexpr int kPack = 16 / sizeof(Stored);
  const int packs = padded_channels / kPack;
  for (int64_t i = FirstIndex(); i < pixels * packs; i += IndexStride()) {
    const int64_t pixel = i / packs;
    const int first = static_cast<int>(i - pixel * packs) * kPack;
    Pack<Stored, kPack> pack;
    PROTOPAGE_UNROLL
    for (int l = 0; l < kPack; ++l) {
      pack.v[l] = first + l < channels ? x[pixel * channels + first + l] : Stored{0};
    }
    StorePack(padded + i * kPack, pack);
  }
}

}  // namespace

bool ImplicitGemmSupports(const Window2d& window) {
  // Coordinates must fit into 16 bits, pixels into 31. FastDivide also divides positions and
  // elements past the end, in a block that is not full.
  constexpr int64_t kMaxSide = std::numeric_limits<int16_t>::max();
  constexpr int64_t kMaxPixels = std::numeric_limits<int32_t>::max() - kMaxSide;
  const int64_t y = window.batch * window.out_h * window.out_w * window.out_c;
  return y > 0 && window.out_c % 8 == 0 &&
         std::max({window.in_h, window.in_w, window.kernel_h, window.kernel_w}) <= kMaxSide &&
         std::max({window.batch * window.in_h * window.in_w,
                   window.batch * window.out_h * window.out_w,
                   window.kernel_h * window.kernel_w * (window.in_c + 7)}) <= kMaxPixels;
}

bool ImplicitGemmIsFaster(const Window2d& window, Precision precision) {
  // Two blocks for each multiprocessor.
  constexpr int64_t kLeastBlocks = 256;
  constexpr int64_t kMostColumns = 128;
  const int64_t blocks = DivideUp(window.batch * window.out_h * window.out_w, kRows) *
                         DivideUp(window.out_c, BlockColumns(window));
  return blocks >= kLeastBlocks &&
         (precision == Precision::kFloat32 || window.out_c <= kMostColumns);
}

cudaError_t LaunchPadChannels(cudaStream_t stream, Precision precision, const void* x,
                              int64_t pixels, int64_t channels, void* padded) {
  return WithCore(precision, [&](auto core) {
    using Format = typename decltype(core)::Format;
    const int64_t padded_channels = ImplicitChannels(precision, channels);
    return Launch(stream, GridFor(pixels * padded_channels / ImplicitPack(precision)),
                  kBlockThreads, 0, PadChannelsKernel<typename Format::Stored>, StoredAs<Format>(x),
                  pixels, static_cast<int>(channels), static_cast<int>(padded_channels),
                  StoredAs<Format>(padded));
  });
}

int64_t PackedKernelBytes(const Window2d& window, Precision precision) {
  const int64_t depth = ImplicitGeometry(WithWholePacks(window, precision)).depth;
  int64_t bytes = 0;
  WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    bytes = window.out_c * RowWeights<Core>(depth) *
            static_cast<int64_t>(sizeof(typename Core::Weight));
    return cudaSuccess;
  });
  return bytes;
}

cudaError_t LaunchPackKernel(cudaStream_t stream, const Window2d& window, Precision precision,
                             const float* w, void* packed) {
  KernelOrder order = {};
  order.taps = static_cast<int>(window.kernel_h * window.kernel_w);
  order.channels = static_cast<int>(window.in_c);
  order.in_c = static_cast<int>(ImplicitChannels(precision, window.in_c));
  order.columns = static_cast<int>(window.out_c);
  order.tap_step = window.in_c * window.out_c;
  order.channel_step = window.out_c;
  order.column_step = 1;
  return LaunchPack(stream, precision, order, w, packed);
}

cudaError_t LaunchPackFlippedKernel(cudaStream_t stream, const Window2d& window,
                                    Precision precision, const float* w, void* packed) {
  KernelOrder order = {};
  order.taps = static_cast<int>(window.kernel_h * window.kernel_w);
  order.channels = static_cast<int>(window.out_c);
  order.in_c = static_cast<int>(ImplicitChannels(precision, window.out_c));
  order.columns = static_cast<int>(window.in_c);
  order.tap_step = -window.in_c * window.out_c;
  order.channel_step = 1;
  order.column_step = window.out_c;
  return LaunchPack(stream, precision, order, w - (order.taps - 1) * order.tap_step, packed);
}

cudaError_t LaunchImplicitGemm(cudaStream_t stream, const Window2d& window, Precision precision,
                               const void* x, const void* packed, const float* bias, bool relu,
                               void* y) {
  PROTOPAGE_CHECK(ImplicitGemmSupports(window) && Aligned({x, packed, y}));
  const ImplicitGeometry g(WithWholePacks(window, precision));
  return WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    const auto launch =
        BlockColumns(window) == 64 ? LaunchOfWidth<Core, 8> : LaunchOfWidth<Core, 4>;
    return launch(stream, g, x, packed, bias, relu, y);
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

}  // namespace protopage
