#include "protopage/prototypes/index/index_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace protopage {
namespace {

// Eight lanes; GCC and Clang map them to the registers of the CPU.
typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8x32 __attribute__((vector_size(32)));

Float8 Load(const float* x) {
  Float8 v;
  std::memcpy(&v, x, sizeof(v));
  return v;
}

// The end of FixedOrderDot: the last dim mod 16 elements, and the tree over the 16 sums.
float FinishDot(Float8 low, Float8 high, const float* a, const float* b, int64_t count) {
  float sums[16];
  std::memcpy(sums, &low, sizeof(low));
  std::memcpy(sums + 8, &high, sizeof(high));
  for (int64_t j = 0; j < count; ++j) sums[j] += a[j] * b[j];
  for (int width = 8; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

// Computes kQueries x kRows products at once: 2 x 3 take 12 of the 16 registers for sums.
template <int kQueries, int kRows>
void Tile(const float* const* queries, const float* rows, int64_t num_rows, int64_t dim,
          float* scores) {
  Float8 low[kQueries][kRows] = {}, high[kQueries][kRows] = {};
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    for (int r = 0; r < kRows; ++r) {
      const Float8 row_low = Load(rows + r * dim + i), row_high = Load(rows + r * dim + i + 8);
      for (int q = 0; q < kQueries; ++q) {
        low[q][r] += Load(queries[q] + i) * row_low;
        high[q][r] += Load(queries[q] + i + 8) * row_high;
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) {
    for (int r = 0; r < kRows; ++r) {
      scores[q * num_rows + r] =
          FinishDot(low[q][r], high[q][r], queries[q] + i, rows + r * dim + i, dim - i);
    }
  }
}

template <int kQueries>
void Tiles(const float* const* queries, const float* rows, int64_t count, int64_t num_rows,
           int64_t dim, float* scores) {
  int64_t r = 0;
  for (; r + 3 <= count; r += 3) {
    Tile<kQueries, 3>(queries, rows + r * dim, num_rows, dim, scores + r);
  }
  for (; r < count; ++r) {
    Tile<kQueries, 1>(queries, rows + r * dim, num_rows, dim, scores + r);
  }
}

}  // namespace

float FixedOrderDot(const float* a, const float* b, int64_t dim) {
  float sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (int j = 0; i + j < dim; ++j) sums[j] += a[i + j] * b[i + j];
  for (int width = 8; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

float FixedOrderNorm(const float* x, int64_t dim) { return std::sqrt(FixedOrderDot(x, x, dim)); }

void FixedOrderDots(const float* const* queries, int64_t num_queries, const float* rows,
                    int64_t num_rows, int64_t dim, float* scores) {
  // A block of rows, 16 KiB, stays in the L1 cache for all queries.
  const int64_t block = std::max<int64_t>(3, 4096 / std::max<int64_t>(dim, 1) / 3 * 3);
  for (int64_t first = 0; first < num_rows; first += block) {
    const int64_t count = std::min(block, num_rows - first);
    const float* const begin = rows + first * dim;
    int64_t q = 0;
    for (; q + 2 <= num_queries; q += 2) {
      Tiles<2>(queries + q, begin, count, num_rows, dim, scores + q * num_rows + first);
    }
    if (q < num_queries) {
      Tiles<1>(queries + q, begin, count, num_rows, dim, scores + q * num_rows + first);
    }
  }
}

int32_t IntegerDot(const int8_t* a, const int16_t* b, int64_t dim) {
  int32_t sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += int16_t{a[i]} * b[i];
  return sum;
}

void Dots256(const float* x, const float* transposed, int64_t dim, const float* start,
             float* scores) {
  // 64 sums at a time stay in registers.
  for (int block = 0; block < 256; block += 64) {
    Float8 sums[8] = {};
    if (start != nullptr) {
      for (int j = 0; j < 8; ++j) sums[j] = Load(start + block + 8 * j);
    }
    for (int64_t i = 0; i < dim; ++i) {
      const float* column = transposed + i * 256 + block;
      for (int j = 0; j < 8; ++j) sums[j] += x[i] * Load(column + 8 * j);
    }
    std::memcpy(scores + block, sums, sizeof(sums));
  }
}

int32_t ArgMax256(const float* scores) {
  Float8 best = Load(scores);
  Int8x32 at = {0, 1, 2, 3, 4, 5, 6, 7};
  Int8x32 here = at;
  for (int i = 8; i < 256; i += 8) {
    here += 8;
    const Float8 x = Load(scores + i);
    const Int8x32 larger = x > best;
    best = larger ? x : best;
    at = larger ? here : at;
  }
  int lane = 0;
  for (int j = 1; j < 8; ++j) {
    if (best[j] > best[lane] || (best[j] == best[lane] && at[j] < at[lane])) lane = j;
  }
  return at[lane];
}

}  // namespace protopage
