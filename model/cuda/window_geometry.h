// WindowGeometry: the numbers of a Window2d that kernels over the windows of images use, with its
// divisions prepared.
#ifndef PROTOPAGE_MODEL_CUDA_WINDOW_GEOMETRY_H_
#define PROTOPAGE_MODEL_CUDA_WINDOW_GEOMETRY_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/cuda/kernel_support.h"

namespace protopage {

// For kernels that process channels in packs of V.
template <int V>
struct WindowGeometry {
  explicit WindowGeometry(const Window2d& w)
      : in_h(static_cast<int>(w.in_h)),
        in_w(static_cast<int>(w.in_w)),
        out_h(static_cast<int>(w.out_h)),
        out_w(static_cast<int>(w.out_w)),
        kernel_h(static_cast<int>(w.kernel_h)),
        kernel_w(static_cast<int>(w.kernel_w)),
        stride_h(static_cast<int>(w.stride_h)),
        stride_w(static_cast<int>(w.stride_w)),
        pad_top(static_cast<int>(w.pad_top)),
        pad_left(static_cast<int>(w.pad_left)),
        c(w.in_c),
        by_packs(w.in_c / V),
        by_in_w(w.in_w),
        by_in_h(w.in_h),
        by_out_w(w.out_w),
        by_out_h(w.out_h),
        by_kernel_w(w.kernel_w),
        by_taps(w.kernel_h * w.kernel_w),
        by_stride_h(w.stride_h),
        by_stride_w(w.stride_w) {}

  int in_h, in_w, out_h, out_w;
  int kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int64_t c;
  FastDivide by_packs, by_in_w, by_in_h, by_out_w, by_out_h, by_kernel_w, by_taps;
  FastDivide by_stride_h, by_stride_w;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_WINDOW_GEOMETRY_H_
