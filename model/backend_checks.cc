#include "protopage/model/backend_checks.h"

#include "protopage/base/check.h"

namespace protopage {

MatrixView::MatrixView(const Tensor& x)
    : cols(x.shape().rank() == 0 ? 1 : x.shape()[x.shape().rank() - 1]),
      rows(cols == 0 ? 0 : x.num_elements() / cols) {}

void CheckFloat(const Tensor& x, int64_t n) {
  PROTOPAGE_CHECK(x && x.dtype() == DType::kFloat32);
  PROTOPAGE_CHECK(x.num_elements() == n);
}

void CheckInt(const Tensor& x, int64_t n) {
  PROTOPAGE_CHECK(x && x.dtype() == DType::kInt32);
  PROTOPAGE_CHECK(x.num_elements() == n);
}

void CheckMap(const Tensor& x) {
  PROTOPAGE_CHECK(x);
  PROTOPAGE_CHECK(x.dtype() == DType::kFloat32 || x.dtype() == DType::kBfloat16 ||
                  x.dtype() == DType::kFloat16);
}

void CheckMapLike(const Tensor& x, const Tensor& map) {
  CheckMap(x);
  PROTOPAGE_CHECK(x.dtype() == map.dtype());
  PROTOPAGE_CHECK(x.num_elements() == map.num_elements());
}

void CheckWindow(const Window2d& w) {
  PROTOPAGE_CHECK(w.batch >= 0 && w.in_h > 0 && w.in_w > 0 && w.in_c > 0);
  PROTOPAGE_CHECK(w.out_h > 0 && w.out_w > 0 && w.out_c > 0);
  PROTOPAGE_CHECK(w.kernel_h > 0 && w.kernel_w > 0 && w.stride_h > 0 && w.stride_w > 0);
  PROTOPAGE_CHECK(w.pad_top >= 0 && w.pad_top < w.kernel_h);
  PROTOPAGE_CHECK(w.pad_left >= 0 && w.pad_left < w.kernel_w);
  // Every window reads at least one pixel.
  PROTOPAGE_CHECK((w.out_h - 1) * w.stride_h - w.pad_top < w.in_h);
  PROTOPAGE_CHECK((w.out_w - 1) * w.stride_w - w.pad_left < w.in_w);
}

static void CheckMaps(const Window2d& window, const Tensor& x, const Tensor& y) {
  CheckMap(x);
  CheckMap(y);
  PROTOPAGE_CHECK(x.dtype() == y.dtype());
  PROTOPAGE_CHECK(x.num_elements() == window.batch * window.in_h * window.in_w * window.in_c);
  PROTOPAGE_CHECK(y.num_elements() == window.batch * window.out_h * window.out_w * window.out_c);
}

void CheckConvolution(const Window2d& window, const Tensor& x, const Tensor& w, const Tensor& y) {
  CheckWindow(window);
  CheckFloat(w, window.kernel_h * window.kernel_w * window.in_c * window.out_c);
  CheckMaps(window, x, y);
}

void CheckPool(const Window2d& window, const Tensor& x, const Tensor& y, const Tensor& argmax) {
  CheckWindow(window);
  PROTOPAGE_CHECK(window.in_c == window.out_c);
  CheckMaps(window, x, y);
  CheckInt(argmax, y.num_elements());
}

void CheckPixels(const Tensor& x, const Tensor& y) {
  PROTOPAGE_CHECK(x.shape().rank() >= 2 && y.shape().rank() == 2);
  PROTOPAGE_CHECK(x.shape()[0] == y.shape()[0]);
  PROTOPAGE_CHECK(x.shape()[x.shape().rank() - 1] == y.shape()[1]);
}

ProductShape::ProductShape(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                           const Tensor& c) {
  const MatrixView va(a), vb(b), vc(c);
  rows = vc.rows;
  cols = vc.cols;
  depth = transpose_a ? va.rows : va.cols;
  CheckFloat(a, rows * depth);
  CheckFloat(b, depth * cols);
  CheckFloat(c, rows * cols);
  PROTOPAGE_CHECK((transpose_a ? va.cols : va.rows) == rows);
  PROTOPAGE_CHECK((transpose_b ? vb.cols : vb.rows) == depth);
  PROTOPAGE_CHECK((transpose_b ? vb.rows : vb.cols) == cols);
}

}  // namespace protopage
