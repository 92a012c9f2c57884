#include "protopage/model/testing/test_windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"

namespace protopage {

Window2d MakeWindow(int64_t batch, int64_t in_h, int64_t in_w, int64_t in_c, int64_t out_c,
                    int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w,
                    bool same) {
  Window2d w;
  w.batch = batch;
  w.in_h = in_h, w.in_w = in_w, w.in_c = in_c, w.out_c = out_c;
  w.kernel_h = kernel_h, w.kernel_w = kernel_w;
  w.stride_h = stride_h, w.stride_w = stride_w;
  if (same) {
    w.out_h = DivideUp(in_h, stride_h);
    w.out_w = DivideUp(in_w, stride_w);
    w.pad_top = std::max<int64_t>(0, (w.out_h - 1) * stride_h + kernel_h - in_h) / 2;
    w.pad_left = std::max<int64_t>(0, (w.out_w - 1) * stride_w + kernel_w - in_w) / 2;
  } else {
    w.out_h = (in_h - kernel_h) / stride_h + 1;
    w.out_w = (in_w - kernel_w) / stride_w + 1;
  }
  return w;
}

std::string Describe(const Window2d& w) {
  return absl::StrCat("[", w.batch, ", ", w.in_h, ", ", w.in_w, ", ", w.in_c, "] * [", w.kernel_h,
                      ", ", w.kernel_w, "] / [", w.stride_h, ", ", w.stride_w, "] + [", w.pad_top,
                      ", ", w.pad_left, "] -> [", w.out_h, ", ", w.out_w, ", ", w.out_c, "]");
}

Shape InShape(const Window2d& w) { return {w.batch, w.in_h, w.in_w, w.in_c}; }
Shape OutShape(const Window2d& w) { return {w.batch, w.out_h, w.out_w, w.out_c}; }
Shape KernelShape(const Window2d& w) { return {w.kernel_h, w.kernel_w, w.in_c, w.out_c}; }

}  // namespace protopage
