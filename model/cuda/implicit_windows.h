// The parts that the kernels of convolutions without columns share: the padding of the channels of
// x, the elements of a window in the order of the rows of the kernel, and the pipeline that copies
// them to shared memory.
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/kernel_support.h"
#include "protopage/model/cuda/platform.h"
#include "protopage/model/cuda/window_geometry.h"
#include "protopage/model/precision.h"

namespace protopage {

// The numbers in the 16 bytes that one copy moves.
inline int64_t ImplicitPack(Precision precision) {
  return precision == Precision::kBf16 || precision == Precision::kFp16 ? 8 : 4;
}

// The channels of x, rounded up to whole copies.
inline int64_t ImplicitChannels(Precision precision, int64_t channels) {
  return DivideUp(channels, ImplicitPack(precision)) * ImplicitPack(precision);
}
inline Window2d WithWholePacks(Window2d window, Precision precision) {
  window.in_c = ImplicitChannels(precision, window.in_c);
  return window;
}

// The columns of y that a block of threads computes.
inline int64_t BlockColumns(const Window2d& window) { return window.out_c > 32 ? 64 : 32; }

// The geometry of a window whose channels are whole packs (WithWholePacks).
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

// The element (kh, kw, c) of a window that row `row` of the kernel multiplies. Elements of rows
// from `depth` on lie outside of every image of at most 2^15 - 1 pixels a side.
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

// Whether 0 <= x < n, for n >= 0.
__device__ __forceinline__ bool IsBelow(int x, int n) {
  return static_cast<unsigned>(x) < static_cast<unsigned>(n);
}

// A pipeline of `chunks` chunks: load(chunk, words) starts the copy of a chunk to shared memory by
// CopyAsync16, and use(words) is called for each chunk in order once it has arrived. Up to kStages
// - 1 copies are in flight; a chunk has kStageWords words. All threads of the block must call it.
template <int kStages, int kStageWords, typename Load, typename Use>
__device__ __forceinline__ void InStages(int chunks, const Load& load, const Use& use) {
  uint32_t* const shared = DynamicShared<uint32_t>();
  const auto start_copy = [&](int chunk) {
    if (chunk < chunks) load(chunk, shared + chunk % kStages * kStageWords);
    CommitCopies();  // Also an empty group: WaitForCopies counts groups.
  };
  for (int chunk = 0; chunk < kStages - 1; ++chunk) start_copy(chunk);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    WaitForCopies<kStages - 2>();
    // The chunk has arrived for all threads, and no thread reads the one that the next copy
    // overwrites.
    __syncthreads();
    start_copy(chunk + kStages - 1);
    use(shared + chunk % kStages * kStageWords);
  }
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
