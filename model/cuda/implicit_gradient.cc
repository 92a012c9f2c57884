#include "protopage/model/cuda/implicit_gradient.h"

#include <algorithm>
#include <cstdint>

#include "protopage/base/check.h"
#include "protopage/model/cuda/implicit_gemm.h"
#include "protopage/model/cuda/implicit_windows.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/tensor_core.h"

namespace protopage {
namespace {

// A block of threads computes kRows rows (kh, kw, c) of d_w by 8 * N of its columns, for one part;
// a warp computes 32 of these rows.
constexpr int kWarps = 3, kThreads = kWarps * kWarp;
constexpr int kTiles = 2;  // Of 16 rows.
constexpr int kRows = kWarps * kTiles * 16;
// The depth in products of a chunk of positions. A pipeline of kStages copies the chunks.
constexpr int kProducts = 2, kStages = 4;

struct Geometry : ImplicitGeometry {
  // Of a window with whole packs; its first `channels` channels are those of x.
  Geometry(const Window2d& w, int64_t channels, int64_t parts)
      : ImplicitGeometry(w),
        channels(static_cast<int>(channels)),
        part(static_cast<uint32_t>(DivideUp(positions, parts))) {}

  int channels;
  uint32_t part;  // Positions in it.
};

// The layout of a chunk in shared memory, depth first: kDepth positions of this many columns.
template <typename Core, int Columns>
struct ChunkOf {
  static constexpr int kDepth = kProducts * Core::kDepth;
  static constexpr int kRowWords = Core::DepthFirstRowWords(Columns);
  static constexpr int kWords = kDepth * kRowWords;
  // Of 16 bytes.
  static constexpr int kPack = 4 * Core::kPerWord;
  static constexpr int kRowCopies = Columns / kPack;
};

// Copies chunks of the windows, [positions, kRows]. A thread copies one pack of elements.
template <typename Core>
class WindowLoader {
 public:
  using Stored = typename Core::Format::Stored;
  using Chunk = ChunkOf<Core, kRows>;
  static constexpr int kRowStep = kThreads / Chunk::kRowCopies;
  static_assert(kThreads % Chunk::kRowCopies == 0 && Chunk::kDepth % kRowStep == 0);

  __device__ WindowLoader(const Geometry& g, const Stored* x)
      : x_(x),
        row_(static_cast<int>(threadIdx.x) / Chunk::kRowCopies),
        pack_(static_cast<int>(threadIdx.x) % Chunk::kRowCopies) {
    const WindowElement element(g,
                                blockIdx.x * kRows + static_cast<uint32_t>(pack_ * Chunk::kPack));
    top_ = element.kh - g.pad_top, left_ = element.kw - g.pad_left, channel_ = element.c;
  }

  __device__ void Load(const Geometry& g, uint32_t first, uint32_t end, uint32_t* a) const {
    PROTOPAGE_UNROLL
    for (int row = 0; row < Chunk::kDepth; row += kRowStep) {
      const uint32_t position = first + static_cast<uint32_t>(row + row_);
      uint32_t ow, oh;
      const int64_t image = g.by_out_h.Split(g.by_out_w.Split(position, &ow), &oh);
      const int ih = static_cast<int>(oh) * g.stride_h + top_;
      const int iw = static_cast<int>(ow) * g.stride_w + left_;
      const bool inside = position < end && IsBelow(ih, g.in_h) && IsBelow(iw, g.in_w);
      const int64_t from = ((image * g.in_h + ih) * g.in_w + iw) * g.in_c + channel_;
      CopyAsync16(a + (row + row_) * Chunk::kRowWords + 4 * pack_, inside ? x_ + from : x_, inside);
    }
  }

 private:
  const Stored* const x_;
  const int row_, pack_;
  // The offset of the pack from the first pixel of its window, without padding.
  int top_, left_, channel_;
};

// Copies chunks of d_y, [positions, Columns].
template <typename Core, int Columns>
class GradientLoader {
 public:
  using Stored = typename Core::Format::Stored;
  using Chunk = ChunkOf<Core, Columns>;
  static constexpr int kCopies = Chunk::kDepth * Chunk::kRowCopies;

  __device__ explicit GradientLoader(const Stored* d_y) : d_y_(d_y) {}

  __device__ void Load(const Geometry& g, uint32_t first, uint32_t end, uint32_t* b) const {
    PROTOPAGE_UNROLL
    for (int begin = 0; begin < kCopies; begin += kThreads) {
      const int copy = begin + static_cast<int>(threadIdx.x);
      if (kCopies % kThreads != 0 && copy >= kCopies) continue;
      const int row = copy / Chunk::kRowCopies, pack = copy % Chunk::kRowCopies;
      const uint32_t position = first + static_cast<uint32_t>(row);
      const int channel = static_cast<int>(blockIdx.y) * Columns + pack * Chunk::kPack;
      const bool inside = position < end && channel < g.out_c;
      CopyAsync16(b + row * Chunk::kRowWords + 4 * pack,
                  inside ? d_y_ + static_cast<int64_t>(position) * g.out_c + channel : d_y_,
                  inside);
    }
  }

 private:
  const Stored* const d_y_;
};

// The blocks per multiprocessor that the compiler is to aim for. With 3 it does not spill registers
// to fit more; 0 leaves the choice to it.
template <typename Core, int N>
[[maybe_unused]] constexpr int kLeastBlocks = Core::kPerWord == 2 && N == 8 ? 3 : 0;

template <typename Core, int N>
__global__ void __launch_bounds__(kThreads, kLeastBlocks<Core, N>)
    ImplicitGradientKernel(Geometry g, const typename Core::Format::Stored* x,
                           const typename Core::Format::Stored* d_y, float* sums) {
  using ChunkA = ChunkOf<Core, kRows>;
  using ChunkB = ChunkOf<Core, 8 * N>;
  constexpr int kStageWords = ChunkA::kWords + ChunkB::kWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;

  const uint32_t begin = blockIdx.z * g.part;
  const uint32_t end = begin + g.part < g.positions ? begin + g.part : g.positions;
  const int chunks = static_cast<int>((end - begin + ChunkA::kDepth - 1) / ChunkA::kDepth);
  const WindowLoader<Core> windows(g, x);
  const GradientLoader<Core, 8 * N> gradient(d_y);
  const auto load = [&](int chunk, uint32_t* a) {
    const uint32_t first = begin + static_cast<uint32_t>(chunk * ChunkA::kDepth);
    windows.Load(g, first, end, a);
    gradient.Load(g, first, end, a + ChunkA::kWords);
  };
  float of_part[kTiles][N][4] = {};
  const auto multiply = [&](const uint32_t* a) {
    const uint32_t* const b = a + ChunkA::kWords;
    PROTOPAGE_UNROLL
    for (int product = 0; product < kProducts; ++product) {
      const uint32_t* const a_rows = a + product * Core::kDepth * ChunkA::kRowWords;
      const uint32_t* const b_rows = b + product * Core::kDepth * ChunkB::kRowWords;
      typename Core::Columns of_b[N];
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; n += 2) {
        LoadDepthFirstColumns<Core>(b_rows + 8 * n / Core::kPerWord, ChunkB::kRowWords, of_b + n);
      }
      PROTOPAGE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const typename Core::Rows of_a = LoadDepthFirstRows<Core>(
            a_rows + (warp * kTiles + tile) * 16 / Core::kPerWord, ChunkA::kRowWords);
        PROTOPAGE_UNROLL
        for (int n = 0; n < N; ++n) Core::MultiplyAdd(of_a, of_b[n], of_part[tile][n]);
      }
    }
  };
  InStages<kStages, kStageWords>(chunks, load, multiply);

  const int group = lane / 4, quarter = lane % 4;  // As model/cuda/platform.h has them.
  sums += static_cast<int64_t>(blockIdx.z) * g.kernel_h * g.kernel_w * g.channels * g.out_c;
  PROTOPAGE_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    PROTOPAGE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const uint32_t row = blockIdx.x * kRows +
                           static_cast<uint32_t>((warp * kTiles + tile) * 16 + 8 * half + group);
      uint32_t channel;
      const int64_t tap = g.by_packs.Split(row, &channel);
      // Rows past the end, and channels of the padding.
      if (row >= static_cast<uint32_t>(g.depth) || static_cast<int>(channel) >= g.channels)
        continue;
      float* const to = sums + (tap * g.channels + channel) * g.out_c;
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; ++n) {
        const int col = static_cast<int>(blockIdx.y) * 8 * N + 8 * n + 2 * quarter;
        if (col >= g.out_c) continue;
        const Pack<float, 2> out = {{of_part[tile][n][2 * half], of_part[tile][n][2 * half + 1]}};
        StorePack(to + col, out);
      }
    }
  }
}

template <typename Core, int N>
cudaError_t LaunchOfWidth(cudaStream_t stream, const Geometry& g, int64_t parts, const void* x,
                          const void* d_y, float* sums) {
  constexpr size_t kBytes =
      sizeof(uint32_t) * kStages * (ChunkOf<Core, kRows>::kWords + ChunkOf<Core, 8 * N>::kWords);
  const dim3 grid(static_cast<unsigned>(DivideUp(g.depth, kRows)),
                  static_cast<unsigned>(DivideUp(g.out_c, 8 * N)), static_cast<unsigned>(parts));
  return Launch(stream, grid, dim3(kThreads), kBytes, ImplicitGradientKernel<Core, N>, g,
                StoredAs<typename Core::Format>(x), StoredAs<typename Core::Format>(d_y), sums);
}

}  // namespace

int64_t ImplicitGradientParts(const Window2d& window) {
  // Enough parts to occupy each multiprocessor, but so large that summing them is cheap.
  constexpr int64_t kBlocks = 528, kLeastPositions = 256;
  const int64_t positions = window.batch * window.out_h * window.out_w;
  const int64_t blocks = DivideUp(window.kernel_h * window.kernel_w * window.in_c, kRows) *
                         DivideUp(window.out_c, BlockColumns(window));
  const int64_t most = std::max<int64_t>(1, positions / kLeastPositions);
  const int64_t part = DivideUp(positions, std::min(most, DivideUp(kBlocks, blocks)));
  return DivideUp(positions, part);  // No part is empty.
}

cudaError_t LaunchImplicitGradient(cudaStream_t stream, const Window2d& window, Precision precision,
                                   const void* x, const void* d_y, int64_t parts, float* sums) {
  PROTOPAGE_CHECK(ImplicitGemmSupports(window) && Aligned({x, d_y}) && Aligned({sums}, 8));
  const Geometry g(WithWholePacks(window, precision), window.in_c, parts);
  return WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    const auto launch =
        BlockColumns(window) == 64 ? LaunchOfWidth<Core, 8> : LaunchOfWidth<Core, 4>;
    return launch(stream, g, parts, x, d_y, sums);
  });
}

}  // namespace protopage
