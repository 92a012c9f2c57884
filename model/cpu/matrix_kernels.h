// Matrix kernels: the inner loops of products and convolutions, compiled once for each
// instruction set. Plain pointers and numbers only; one thread runs a call.
//
// A product is c[i, :] += a[i, :] b. `b` is packed into panels of `panel` columns,
// [ceil(n / panel)][k][panel], zero-filled on the right, so that the loop over k reads it in
// order. Rows of `a` and `c` may be anywhere: each has an offset, in floats, from a base, so that a
// convolution reads its windows from the image itself, without im2col.
#ifndef PROTOPAGE_MODEL_CPU_MATRIX_KERNELS_H_
#define PROTOPAGE_MODEL_CPU_MATRIX_KERNELS_H_

#include <cstdint>

namespace protopage {

// c[i, j] = start + sum over k of a[i, k] b[k, j], for i in [0, rows), j in [0, n), where row i of
// `a` is `runs` runs of `run_length` floats, `run_stride` floats apart (a window of an
// image: one run for each of its rows), and k = runs * run_length.
struct RowProduct {
  const float* a;
  const int64_t* a_offsets;  // [rows]
  int64_t rows;
  int64_t runs, run_length, run_stride;
  const float* b;  // Packed, panels `b_panel_stride` floats apart.
  int64_t b_panel_stride;
  int64_t n;
  float* c;
  const int64_t* c_offsets;  // [rows]; no two rows of c overlap.
  const float* bias;         // [n], or null: then start is 0.
  bool accumulate;           // start is the old value of c; `bias` is null then.
  bool relu;                 // Finally c = max(0, c).
};

// c[i, j] += sum over p of a[p, i] b[p, j], for p in [0, positions), i in [0, m), j in [0, panel):
// one panel of the columns of b, which is [positions][panel].
struct OuterProduct {
  const float* a;
  const int64_t* a_offsets;  // [positions]
  int64_t positions;
  const float* b;
  int64_t m;
  float* c;
  int64_t c_stride;
};

struct MatrixKernels {
  int64_t panel;  // Columns of a panel of packed b.
  // Packs the k x n matrix alpha * b, element (i, j) at b[i * row_stride + j * column_stride].
  void (*pack)(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t column_stride,
               float alpha, float* packed);
  void (*multiply_rows)(const RowProduct& product);
  void (*add_outer)(const OuterProduct& product);
  // Measures the peak of the processor: fused multiply-adds on registers only. Returns the number
  // of floating point operations of `iterations` rounds.
  int64_t (*peak_flops)(int64_t iterations, float* sink);
};

namespace avx2 {
const MatrixKernels& GetMatrixKernels();
}  // namespace avx2
namespace avx512 {
const MatrixKernels& GetMatrixKernels();
}  // namespace avx512

}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CPU_MATRIX_KERNELS_H_
