// What the kernels of convolutions without columns share: the elements of a window in the order of the kernel's rows,
// and which instances of the kernels a window takes.
//
//   const WindowElement element(geometry, /*row=*/17);  // (kh, kw, c) of row 17
//   return WithTiles(window, [&](auto tiles, auto width) {
//     return LaunchOf<decltype(tiles)::value, decltype(width)::value>(...);
//   });
#ifndef PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
#define PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_

#include <cstdint>

#include "model/backend.h"
#include "model/cuda/number_format.h"
#include "model/cuda/platform.h"
#include "model/cuda/window_geometry.h"

namespace protopage {

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

// An element of a window. Rows from `depth` on lie outside of every image that is no larger than 2^15 - 1.
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

// Channels of the output that a block of threads makes. Loading single elements takes registers that the sums would need.
inline int TileColumns(const Window2d& window) {
  return window.out_c > 32 && window.in_c % 4 == 0 ? 64 : 32;
}

// Returns body(Width<N>(), Width<V>()): tiles of 8 * N channels of the output; elements of a window that lie after each
// other in one tap, 4 or 1, from each multiple of 4 on.
template <typename Body>
auto WithTiles(const Window2d& window, const Body& body) {
  if (window.in_c % 4 != 0) return body(Width<4>(), Width<1>());
  return TileColumns(window) == 64 ? body(Width<8>(), Width<4>()) : body(Width<4>(), Width<4>());
}

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_IMPLICIT_WINDOWS_H_
