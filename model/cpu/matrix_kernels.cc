#include "protopage/model/cpu/matrix_kernels.h"

// GCC 12 warns of operands that its own AVX-512 intrinsics leave undefined on purpose.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

namespace protopage {
namespace PROTOPAGE_ISA {
namespace {

// The only lines that depend on the instruction set: the width of a vector, and the number of rows
// of a tile that fit in the registers together with two vectors of b and one broadcast of a.
#ifdef __AVX512F__
using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kTileRows = 12;  // 24 of 32 registers hold sums.
inline Vec Zero() { return _mm512_setzero_ps(); }
inline Vec Load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec Broadcast(const float* p) { return _mm512_set1_ps(*p); }
inline void Store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// The second operand when either is NaN, so that a NaN stays one.
inline Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
#else
using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kTileRows = 6;  // 12 of 16 registers hold sums.
inline Vec Zero() { return _mm256_setzero_ps(); }
inline Vec Load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec Broadcast(const float* p) { return _mm256_broadcast_ss(p); }
inline void Store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
#endif

constexpr int kPanel = 2 * kWidth;

#define PROTOPAGE_UNROLL _Pragma("GCC unroll 16")

void Pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t column_stride,
          float alpha, float* packed) {
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t columns = n - first < kPanel ? n - first : kPanel;
    const float* source = b + first * column_stride;
    if (column_stride == 1 && columns == kPanel) {
      for (int64_t i = 0; i < k; ++i) {
        const float* row = source + i * row_stride;
        for (int j = 0; j < kPanel; ++j) packed[i * kPanel + j] = alpha * row[j];
      }
    } else {
      // Column by column, in blocks of rows that leave the packed lines in the cache.
      for (int64_t i0 = 0; i0 < k; i0 += 64) {
        const int64_t i1 = k - i0 < 64 ? k : i0 + 64;
        for (int64_t j = 0; j < columns; ++j) {
          for (int64_t i = i0; i < i1; ++i) {
            packed[i * kPanel + j] = alpha * source[i * row_stride + j * column_stride];
          }
        }
        for (int64_t i = i0; i < i1; ++i) {
          for (int64_t j = columns; j < kPanel; ++j) packed[i * kPanel + j] = 0.0f;
        }
      }
    }
    packed += k * kPanel;
  }
}

// One tile: kTileRows rows of c by one panel, of which c has `columns`: all of them if kWhole.
template <bool kWhole>
inline void MultiplyTile(const RowProduct& product, const float* const* a_rows, const float* b,
                         Vec bias0, Vec bias1, int64_t columns, float* const* c) {
  Vec sum[kTileRows][2];
  float edge[kPanel] = {};
  // All of c is read before any of it is written.
  PROTOPAGE_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    if (!product.accumulate) {
      sum[r][0] = bias0;
      sum[r][1] = bias1;
      continue;
    }
    const float* from = c[r];
    if (!kWhole) {
      for (int64_t j = 0; j < columns; ++j) edge[j] = c[r][j];
      from = edge;
    }
    sum[r][0] = Load(from);
    sum[r][1] = Load(from + kWidth);
  }
  const float* a[kTileRows];
  PROTOPAGE_UNROLL
  for (int r = 0; r < kTileRows; ++r) a[r] = a_rows[r];
  for (int64_t run = 0; run < product.runs; ++run) {
    for (int64_t k = 0; k < product.run_length; ++k) {
      const Vec b0 = Load(b);
      const Vec b1 = Load(b + kWidth);
      b += kPanel;
      PROTOPAGE_UNROLL
      for (int r = 0; r < kTileRows; ++r) {
        const Vec x = Broadcast(a[r] + k);
        sum[r][0] = MulAdd(x, b0, sum[r][0]);
        sum[r][1] = MulAdd(x, b1, sum[r][1]);
      }
    }
    PROTOPAGE_UNROLL
    for (int r = 0; r < kTileRows; ++r) a[r] += product.run_stride;
  }
  PROTOPAGE_UNROLL
  for (int r = 0; r < kTileRows; ++r) {
    if (product.relu) {
      sum[r][0] = Max(Zero(), sum[r][0]);
      sum[r][1] = Max(Zero(), sum[r][1]);
    }
    float* const to = kWhole ? c[r] : edge;
    Store(to, sum[r][0]);
    Store(to + kWidth, sum[r][1]);
    if (!kWhole) {
      for (int64_t j = 0; j < columns; ++j) c[r][j] = edge[j];
    }
  }
}

// All rows of one panel: `columns` <= kPanel columns from `column` on.
void MultiplyPanel(const RowProduct& product, const float* b, int64_t column, int64_t columns) {
  Vec bias0 = Zero(), bias1 = Zero();
  if (product.bias != nullptr) {
    float edge[kPanel] = {};
    for (int64_t j = 0; j < columns; ++j) edge[j] = product.bias[column + j];
    bias0 = Load(edge);
    bias1 = Load(edge + kWidth);
  }
  for (int64_t row = 0; row < product.rows; row += kTileRows) {
    // Past the last row the last one is computed again: the same value to the same place.
    const float* a[kTileRows];
    float* c[kTileRows];
    for (int r = 0; r < kTileRows; ++r) {
      const int64_t i = row + r < product.rows ? row + r : product.rows - 1;
      a[r] = product.a + product.a_offsets[i];
      c[r] = product.c + product.c_offsets[i] + column;
    }
    if (columns == kPanel) {
      MultiplyTile<true>(product, a, b, bias0, bias1, columns, c);
    } else {
      MultiplyTile<false>(product, a, b, bias0, bias1, columns, c);
    }
  }
}

// Rows of a packed panel that stay in L1 (32 KiB) with the rows of a and c: deeper products are
// summed in pieces, through c.
constexpr int64_t kMaxDepth = (20 << 10) / (kPanel * sizeof(float));

void MultiplyRows(const RowProduct& product) {
  // A piece is some whole runs, or a part of one.
  const int64_t length = product.run_length < kMaxDepth ? product.run_length : kMaxDepth;
  const int64_t runs = length < product.run_length || length == 0 ? 1 : kMaxDepth / length;
  for (int64_t column = 0; column < product.n; column += kPanel) {
    const float* b = product.b + column / kPanel * product.b_panel_stride;
    const int64_t columns = product.n - column < kPanel ? product.n - column : kPanel;
    RowProduct piece = product;
    for (int64_t run = 0; run < product.runs; run += runs) {
      piece.runs = product.runs - run < runs ? product.runs - run : runs;
      for (int64_t k = 0; k < product.run_length; k += length) {
        piece.run_length = product.run_length - k < length ? product.run_length - k : length;
        piece.a = product.a + run * product.run_stride + k;
        const bool last =
            run + piece.runs == product.runs && k + piece.run_length == product.run_length;
        piece.relu = product.relu && last;
        MultiplyPanel(piece, b, column, columns);
        b += piece.runs * piece.run_length * kPanel;
        piece.accumulate = true;
        piece.bias = nullptr;
      }
    }
  }
}

template <int kRows>
void AddOuterTile(const OuterProduct& product, int64_t i) {
  float* c = product.c + i * product.c_stride;
  Vec sum[kRows][2];
  PROTOPAGE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = Load(c + r * product.c_stride);
    sum[r][1] = Load(c + r * product.c_stride + kWidth);
  }
  const float* b = product.b;
  const float* first = product.a + i;
  for (int64_t p = 0; p < product.positions; ++p) {
    const float* a = first + product.a_offsets[p];
    const Vec b0 = Load(b);
    const Vec b1 = Load(b + kWidth);
    b += kPanel;
    PROTOPAGE_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vec v = Broadcast(a + r);
      sum[r][0] = MulAdd(v, b0, sum[r][0]);
      sum[r][1] = MulAdd(v, b1, sum[r][1]);
    }
  }
  PROTOPAGE_UNROLL
  for (int r = 0; r < kRows; ++r) {
    Store(c + r * product.c_stride, sum[r][0]);
    Store(c + r * product.c_stride + kWidth, sum[r][1]);
  }
}

// Tiles of `rows` rows, which is known when it is compiled.
template <int kRows>
void AddOuterTiles(const OuterProduct& product, int rows, int64_t begin, int64_t end) {
  if constexpr (kRows > 0) {
    if (rows < kRows) return AddOuterTiles<kRows - 1>(product, rows, begin, end);
    for (int64_t i = begin; i < end; i += kRows) AddOuterTile<kRows>(product, i);
  }
}

// Tiles of about one size: in a small one each sum waits for the one before.
void AddOuter(const OuterProduct& product) {
  const int64_t tiles = (product.m + kTileRows - 1) / kTileRows;
  if (tiles == 0) return;
  const int rows = static_cast<int>(product.m / tiles);
  const int64_t larger = product.m % tiles * (rows + 1);  // Rows in tiles of one row more.
  if (larger > 0) AddOuterTiles<kTileRows>(product, rows + 1, 0, larger);
  AddOuterTiles<kTileRows>(product, rows, larger, product.m);
}

int64_t PeakFlops(int64_t iterations, float* sink) {
  Vec sum[2 * kTileRows];
  const Vec x = Broadcast(sink);
  PROTOPAGE_UNROLL
  for (int r = 0; r < 12; ++r) sum[r] = Zero();
  for (int64_t i = 0; i < iterations; ++i) {
    PROTOPAGE_UNROLL
    for (int r = 0; r < 12; ++r) sum[r] = MulAdd(x, x, sum[r]);
    // Keeps the sums in registers and the loop as it is written.
    asm volatile(""
                 : "+v"(sum[0]), "+v"(sum[1]), "+v"(sum[2]), "+v"(sum[3]), "+v"(sum[4]),
                   "+v"(sum[5]));
    asm volatile(""
                 : "+v"(sum[6]), "+v"(sum[7]), "+v"(sum[8]), "+v"(sum[9]), "+v"(sum[10]),
                   "+v"(sum[11]));
  }
  for (int r = 0; r < 12; ++r) Store(sink, sum[r]);
  return iterations * 12 * kWidth * 2;
}

}  // namespace

const MatrixKernels& GetMatrixKernels() {
  static constexpr MatrixKernels kernels = {kPanel, Pack, MultiplyRows, AddOuter, PeakFlops};
  return kernels;
}

}  // namespace PROTOPAGE_ISA
}  // namespace protopage
