// The checks that backends make of an operation's arguments. Shapes are the caller's
// responsibility, so a mistake ends the program (see model/backend.h).
//
//   const MatrixView m(x);  // [M, C], any leading dimensions.
//   CheckFloat(gamma, m.cols);
#ifndef PROTOPAGE_MODEL_BACKEND_CHECKS_H_
#define PROTOPAGE_MODEL_BACKEND_CHECKS_H_

#include <cstdint>

#include "protopage/model/backend.h"
#include "protopage/model/tensor.h"

namespace protopage {

// The rows and columns of a tensor viewed as a matrix: its last dimension is the columns.
struct MatrixView {
  explicit MatrixView(const Tensor& x);
  int64_t cols, rows;
};

// x is present, float32 (int32), and has n elements.
void CheckFloat(const Tensor& x, int64_t n);
void CheckInt(const Tensor& x, int64_t n);
// x is a feature map: present, of float32 or 16-bit floats; CheckMapLike: of the dtype of `map` and
// with as many elements.
void CheckMap(const Tensor& x);
void CheckMapLike(const Tensor& x, const Tensor& map);
void CheckWindow(const Window2d& window);
void CheckConvolution(const Window2d& window, const Tensor& x, const Tensor& w, const Tensor& y);
void CheckPool(const Window2d& window, const Tensor& x, const Tensor& y, const Tensor& argmax);
// x [B, ..., C] against y [B, C].
void CheckPixels(const Tensor& x, const Tensor& y);
// c [M, N] = op(a) op(b)
struct ProductShape {
  ProductShape(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
               const Tensor& c);
  int64_t rows, cols, depth;
};

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_BACKEND_CHECKS_H_
