// What the kernels of convolutions without columns share: the channels of x as they take them, the
// elements of a window in the order of the kernel's rows, and the stages in which they are brought.
//
//   const ImplicitGeometry geometry(WithWholePacks(window, precision));
//   const WindowElement element(geometry, /*row=*/17);  // (kh, kw, c) of row 17
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/cuda/window_geometry.h"
#include "protopage/model/precision.h"

namespace protopage {

// Numbers in the 16 bytes that one copy brings.
inline int64_t ImplicitPack(Precision precision) {
  return precision == Precision::kBf16 || precision == Precision::kFp16 ? 8 : 4;
}

// The channels of x, with those that fill a last copy.
inline int64_t ImplicitChannels(Precision precision, int64_t channels) {
  return DivideUp(channels, ImplicitPack(precision)) * ImplicitPack(precision);
}
inline Window2d WithWholePacks(Window2d window, Precision precision) {
  window.in_c = ImplicitChannels(precision, window.in_c);
  return window;
}

// Columns of y that a block of threads makes.
inline int64_t BlockColumns(const Window2d& window) { return window.out_c > 32 ? 64 : 32; }

// Of a window with whole packs.
struct ImplicitGeometry : WindowGeometry<1> {
  explicit ImplicitGeometry(const Window2d& w)
      : WindowGeometry<1>(w),
        in_c(static_cast<int>(w.in_c)),
        out_c(static_cast<int>(w.out_c)),
        depth(static_cast<int>(w.kernel_h * w.kernel_w * w.in_c)),
        positions(static_cast<uint32_t>(w.batch * w.out_h * w.out_w)) {}

  int in_c, out_c;
  int depth;  // Elements of a window.
  uint32_t positions;
};

// An element of a window. Rows from `depth` on lie outside of every image that is no larger than
// 2^15 - 1.
struct WindowElement {
  int kh, kw, c;

  __device__ WindowElement(const ImplicitGeometry& g, uint32_t row) {
    uint32_t channel, column;
    kh = static_cast<int>(g.by_kernel_w.Split(g.by_packs.Split(row, &channel), &column));
    kw = static_cast<int>(column);
    c = static_cast<int>(channel);
    if (row >= static_cast<uint32_t>(g.depth)) kh = 1 << 16;
  }
};

// Whether x < n, of numbers that are not too large; a negative x is not.
__device__ __forceinline__ bool IsBelow(int x, int n) {
  return static_cast<unsigned>(x) < static_cast<unsigned>(n);
}

// Calls load(chunk, words) for `chunks` chunks, which copies one to shared memory by CopyAsync16,
// and use(words) for one after the other when it has come. kStages - 1 of them are on their way;
// one has kStageWords words. All threads of the block call it.
template <int kStages, int kStageWords, typename Load, typename Use>
__device__ __forceinline__ void InStages(int chunks, const Load& load, const Use& use) {
  uint32_t* const shared = DynamicShared<uint32_t>();
  const auto bring = [&](int chunk) {
    if (chunk < chunks) load(chunk, shared + chunk % kStages * kStageWords);
    CommitCopies();  // Also of none: groups are counted.
  };
  for (int chunk = 0; chunk < kStages - 1; ++chunk) bring(chunk);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    WaitForCopies<kStages - 2>();
    // All have come, and nobody reads any more the chunk that the next one takes the place of.
    __syncthreads();
    bring(chunk + kStages - 1);
    use(shared + chunk % kStages * kStageWords);
  }
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
