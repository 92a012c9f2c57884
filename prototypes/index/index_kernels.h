// The inner loops of the class index: inner products of floats in one fixed order of additions, and
// of integers.
//
// No result depends on the number of vectors in a call, so that searches give the same bits in
// batches of any size.
//
//   const float* queries[] = {a, b};
//   float scores[2 * 100];
//   FixedOrderDots(queries, 2, rows, 100, dim, scores);  // scores[q * 100 + r]: query q, row r.
#ifndef PROTOPAGE_PROTOTYPES_INDEX_INDEX_KERNELS_H_
#define PROTOPAGE_PROTOTYPES_INDEX_INDEX_KERNELS_H_

#include <cstdint>

namespace protopage {

// The inner product of two vectors of `dim` floats in one fixed order of additions: 16 running
// sums over i mod 16, then a fixed tree. The same bits on every CPU.
float FixedOrderDot(const float* a, const float* b, int64_t dim);

// sqrt(FixedOrderDot(x, x, dim)).
float FixedOrderNorm(const float* x, int64_t dim);

// scores [num_queries, num_rows]: the inner products of queries[q] and `rows` [num_rows, dim]. The
// bits are those of FixedOrderDot; several pairs are computed at a time.
void FixedOrderDots(const float* const* queries, int64_t num_queries, const float* rows,
                    int64_t num_rows, int64_t dim, float* scores);

// sum_i a[i] * b[i]. The caller ensures that the sum of the absolute values is below 2^31.
int32_t IntegerDot(const int8_t* a, const int16_t* b, int64_t dim);

// Inner products of x [dim] with 256 vectors that are stored transposed, [dim, 256], plus `start`
// [256], which may be null.
void Dots256(const float* x, const float* transposed, int64_t dim, const float* start,
             float* scores);

// The lowest i with the largest scores[i], of 256.
int32_t ArgMax256(const float* scores);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_INDEX_INDEX_KERNELS_H_
