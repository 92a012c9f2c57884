#include "model/cuda/implicit_gradient.h"

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "model/cuda/implicit_gemm.h"
#include "model/cuda/implicit_windows.h"
#include "model/cuda/kernel_support.h"
#include "model/cuda/tensor_core.h"

namespace protopage {
namespace {

// A block of threads makes kRows rows of d_w, (kh, kw, c), by 8 * N of its columns, of one part;
// a warp 32 of the rows.
constexpr int kWarps = 3, kThreads = kWarps * kWarp;
constexpr int kTiles = 2;  // Of 16 rows.
constexpr int kRows = kWarps * kTiles * 16;
// Positions that are multiplied at a time.
constexpr int kChunk = 32;

// Words of a row of depth, so that those of a product lie in 32 banks.
constexpr int RowWords(int columns) { return columns + 8; }

struct Geometry : ImplicitGeometry {
  Geometry(const Window2d& w, int64_t parts)
      : ImplicitGeometry(w), part(static_cast<uint32_t>(DivideUp(positions, parts))) {}

  uint32_t part;  // Positions in it.
};

// What a thread brings of each chunk of the windows: 4 elements, V of them after each other in one tap, at kCount words of
// positions.
template <typename Core, int V>
class WindowLoader {
 public:
  using Stored = typename Core::Format::Stored;
  static constexpr int kPacks = kRows / 4;  // Of a position.
  static constexpr int kWordStep = kThreads / kPacks;
  static constexpr int kCount = kChunk / Core::kPerWord / kWordStep;

  __device__ WindowLoader(const Geometry& g, const Stored* x)
      : x_(x),
        word_(static_cast<int>(threadIdx.x) / kPacks),
        column_(static_cast<int>(threadIdx.x) % kPacks * 4) {
    for (int l = 0; l < 4 / V; ++l) {
      const WindowElement element(g, blockIdx.x * kRows + static_cast<uint32_t>(column_ + l * V));
      places_[l] = {element.kh - g.pad_top, element.kw - g.pad_left, element.c};
    }
  }

  __device__ void Load(const Geometry& g, uint32_t first, uint32_t end) {
    for (int i = 0; i < kCount; ++i) {
      for (int l = 0; l < Core::kPerWord; ++l) {
        const uint32_t position =
            first + static_cast<uint32_t>((word_ + i * kWordStep) * Core::kPerWord + l);
        uint32_t ow, oh;
        const int64_t image = g.by_out_h.Split(g.by_out_w.Split(position, &ow), &oh);
        PROTOPAGE_UNROLL
        for (int e = 0; e < 4 / V; ++e) {
          const int ih = static_cast<int>(oh) * g.stride_h + places_[e].top;
          const int iw = static_cast<int>(ow) * g.stride_w + places_[e].left;
          const bool inside = position < end && ih >= 0 && ih < g.in_h && iw >= 0 && iw < g.in_w;
          const int64_t from = ((image * g.in_h + ih) * g.in_w + iw) * g.in_c + places_[e].channel;
          const Pack<Stored, V> loaded = inside ? LoadPack<V>(x_ + from) : Pack<Stored, V>{};
          for (int v = 0; v < V; ++v) values_[i][l].v[e * V + v] = loaded.v[v];
        }
      }
    }
  }

  // a [words of kChunk, RowWords(kRows)]
  __device__ void Store(uint32_t* a) const {
    for (int i = 0; i < kCount; ++i) {
      StorePack(a + (word_ + i * kWordStep) * RowWords(kRows) + column_, Core::Words(values_[i]));
    }
  }

 private:
  // Where an element of a window is, from the first pixel of the window at no padding.
  struct Place {
    int top, left, channel;
  };
  const Stored* const x_;
  const int word_, column_;
  Place places_[4 / V];
  Pack<Stored, 4> values_[kCount][Core::kPerWord];
};

// And of each chunk of d_y: 4 channels, at kCount words of positions. The last of them may be none.
template <typename Core, int N>
class GradientLoader {
 public:
  using Stored = typename Core::Format::Stored;
  static constexpr int kPacks = 8 * N / 4;  // Of a position.
  static constexpr int kItems = kChunk / Core::kPerWord * kPacks;
  static constexpr int kCount = (kItems + kThreads - 1) / kThreads;

  __device__ explicit GradientLoader(const Stored* d_y) : d_y_(d_y) {}

  __device__ void Load(const Geometry& g, uint32_t first, uint32_t end) {
    for (int i = 0; i < kCount; ++i) {
      const int item = Item(i);
      const int channel = static_cast<int>(blockIdx.y) * 8 * N + item % kPacks * 4;
      for (int l = 0; l < Core::kPerWord; ++l) {
        const uint32_t position = first + static_cast<uint32_t>(item / kPacks * Core::kPerWord + l);
        const bool inside = item < kItems && position < end && channel < g.out_c;
        const int64_t from = static_cast<int64_t>(position) * g.out_c + channel;
        values_[i][l] = inside ? LoadPack<4>(d_y_ + from) : Pack<Stored, 4>{};
      }
    }
  }

  // b [words of kChunk, RowWords(8 * N)]
  __device__ void Store(uint32_t* b) const {
    for (int i = 0; i < kCount; ++i) {
      const int item = Item(i);
      if (item >= kItems) continue;
      StorePack(b + item / kPacks * RowWords(8 * N) + item % kPacks * 4, Core::Words(values_[i]));
    }
  }

 private:
  __device__ static int Item(int i) { return static_cast<int>(threadIdx.x) + i * kThreads; }

  const Stored* const d_y_;
  Pack<Stored, 4> values_[kCount][Core::kPerWord];
};

template <typename Core, int N, int V>
__global__ void __launch_bounds__(kThreads)
    ImplicitGradientKernel(Geometry g, const typename Core::Format::Stored* x,
                           const typename Core::Format::Stored* d_y, float* sums) {
  constexpr int kWords = kChunk / Core::kPerWord;
  uint32_t* const a = DynamicShared<uint32_t>();
  uint32_t* const b = a + kWords * RowWords(kRows);
  const int lane = static_cast<int>(threadIdx.x) % kWarp,
            warp = static_cast<int>(threadIdx.x) / kWarp;
  const int group = lane / 4, quarter = lane % 4;  // As model/cuda/platform.h has them.
  const uint32_t* const own_a = a + quarter * RowWords(kRows) + warp * kTiles * 16 + group;
  const uint32_t* const own_b = b + quarter * RowWords(8 * N) + group;

  float of_part[kTiles][N][4] = {};
  WindowLoader<Core, V> windows(g, x);
  GradientLoader<Core, N> gradient(d_y);
  uint32_t first = blockIdx.z * g.part;
  const uint32_t end = first + g.part < g.positions ? first + g.part : g.positions;
  windows.Load(g, first, end);
  gradient.Load(g, first, end);
  while (first < end) {
    __syncthreads();  // Who still reads the chunk before?
    windows.Store(a);
    gradient.Store(b);
    __syncthreads();
    first += kChunk;
    if (first < end) {  // On its way while this one is multiplied.
      windows.Load(g, first, end);
      gradient.Load(g, first, end);
    }
    PROTOPAGE_UNROLL
    for (int word = 0; word < kWords; word += 8) {
      uint32_t b_words[N][2];
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; ++n) {
        for (int half = 0; half < 2; ++half) {
          b_words[n][half] = own_b[(word + 4 * half) * RowWords(8 * N) + 8 * n];
        }
      }
      PROTOPAGE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint32_t* const at = own_a + word * RowWords(kRows) + tile * 16;
        const uint32_t a_words[4] = {at[0], at[8], at[4 * RowWords(kRows)],
                                     at[4 * RowWords(kRows) + 8]};
        PROTOPAGE_UNROLL
        for (int n = 0; n < N; ++n) Core::MultiplyAdd(a_words, b_words[n], of_part[tile][n]);
      }
    }
  }

  sums += static_cast<int64_t>(blockIdx.z) * g.depth * g.out_c;
  PROTOPAGE_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    PROTOPAGE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row =
          static_cast<int>(blockIdx.x) * kRows + (warp * kTiles + tile) * 16 + 8 * half + group;
      if (row >= g.depth) continue;
      PROTOPAGE_UNROLL
      for (int n = 0; n < N; ++n) {
        const int col = static_cast<int>(blockIdx.y) * 8 * N + 8 * n + 2 * quarter;
        if (col >= g.out_c) continue;
        const Pack<float, 2> out = {{of_part[tile][n][2 * half], of_part[tile][n][2 * half + 1]}};
        StorePack(sums + static_cast<int64_t>(row) * g.out_c + col, out);
      }
    }
  }
}

template <typename Core, int N, int V>
cudaError_t LaunchOfWidth(cudaStream_t stream, const Geometry& g, int64_t parts, const void* x,
                          const void* d_y, float* sums) {
  const size_t words = kChunk / Core::kPerWord * (RowWords(kRows) + RowWords(8 * N));
  const dim3 grid(static_cast<unsigned>(DivideUp(g.depth, kRows)),
                  static_cast<unsigned>(DivideUp(g.out_c, 8 * N)), static_cast<unsigned>(parts));
  return Launch(stream, grid, dim3(kThreads), words * sizeof(uint32_t),
                ImplicitGradientKernel<Core, N, V>, g, StoredAs<typename Core::Format>(x),
                StoredAs<typename Core::Format>(d_y), sums);
}

}  // namespace

int64_t ImplicitGradientParts(const Window2d& window) {
  // Enough for each multiprocessor to have some at work, and so large that the sum of the parts is cheap.
  constexpr int64_t kBlocks = 512, kLeastPositions = 512;
  const int64_t positions = window.batch * window.out_h * window.out_w;
  const int64_t blocks = DivideUp(window.kernel_h * window.kernel_w * window.in_c, kRows) *
                         DivideUp(window.out_c, TileColumns(window));
  const int64_t most = std::max<int64_t>(1, positions / kLeastPositions);
  const int64_t part = DivideUp(positions, std::min(most, DivideUp(kBlocks, blocks)));
  return DivideUp(positions, part);  // None is empty.
}

cudaError_t LaunchImplicitGradient(cudaStream_t stream, const Window2d& window, Precision precision,
                                   const void* x, const void* d_y, int64_t parts, float* sums) {
  PROTOPAGE_CHECK(ImplicitGemmTakes(window) && Aligned({x, d_y}) && Aligned({sums}, 8));
  const Geometry g(window, parts);
  return WithCore(precision, [&](auto core) {
    using Core = decltype(core);
    const auto launch = [&](auto columns, auto width) {
      return LaunchOfWidth<Core, decltype(columns)::value, decltype(width)::value>(stream, g, parts,
                                                                                   x, d_y, sums);
    };
    return WithTiles(window, launch);
  });
}

}  // namespace protopage
