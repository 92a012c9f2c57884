#include "protopage/prototypes/index/index_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "protopage/base/random.h"

namespace protopage {
namespace {

std::vector<float> Normals(int64_t n, uint64_t stream) {
  RandomStream random(1, RandomPurpose::kTest, stream);
  std::vector<float> x(n);
  for (float& v : x) v = random.Normal();
  return x;
}

TEST(IndexKernelsTest, TheExampleOfTheHeader) {
  constexpr int64_t dim = 20;
  const std::vector<float> vectors = Normals(102 * dim, 7);
  const float* const a = vectors.data();
  const float* const b = a + dim;
  const float* const rows = b + dim;
  const float* queries[] = {a, b};
  float scores[2 * 100];
  FixedOrderDots(queries, 2, rows, 100, dim, scores);  // scores[q * 100 + r]: query q, row r.
  EXPECT_EQ(scores[1 * 100 + 7], FixedOrderDot(b, rows + 7 * dim, dim));
}

TEST(IndexKernelsTest, ManyDotsHaveTheBitsOfOne) {
  for (int64_t dim : {1, 7, 16, 33, 512}) {
    for (int64_t num_queries : {1, 2, 5}) {
      for (int64_t num_rows : {1, 3, 8, 50}) {
        const std::vector<float> queries = Normals(num_queries * dim, 1);
        const std::vector<float> rows = Normals(num_rows * dim, 2);
        std::vector<const float*> pointers;
        for (int64_t q = 0; q < num_queries; ++q) pointers.push_back(&queries[q * dim]);
        std::vector<float> scores(num_queries * num_rows);
        FixedOrderDots(pointers.data(), num_queries, rows.data(), num_rows, dim, scores.data());
        for (int64_t q = 0; q < num_queries; ++q) {
          for (int64_t r = 0; r < num_rows; ++r) {
            ASSERT_EQ(scores[q * num_rows + r], FixedOrderDot(pointers[q], &rows[r * dim], dim))
                << dim << " " << num_queries << " " << num_rows;
          }
        }
      }
    }
  }
}

TEST(IndexKernelsTest, IntegerDotIsTheSum) {
  RandomStream random(1, RandomPurpose::kTest, 3);
  for (int64_t dim : {1, 15, 32, 100, 512}) {
    std::vector<int8_t> a(dim);
    std::vector<int16_t> b(dim);
    int64_t want = 0;
    for (int64_t i = 0; i < dim; ++i) {
      a[i] = static_cast<int8_t>(static_cast<int64_t>(random.Below(255)) - 127);
      b[i] = static_cast<int16_t>(static_cast<int64_t>(random.Below(16383)) - 8191);
      want += int64_t{a[i]} * b[i];
    }
    EXPECT_EQ(IntegerDot(a.data(), b.data(), dim), want);
  }
}

TEST(IndexKernelsTest, Dots256AreProductsWithColumns) {
  for (int64_t dim : {1, 4, 9}) {
    const std::vector<float> x = Normals(dim, 4), transposed = Normals(dim * 256, 5);
    const std::vector<float> start = Normals(256, 6);
    float scores[256], plain[256];
    Dots256(x.data(), transposed.data(), dim, start.data(), scores);
    Dots256(x.data(), transposed.data(), dim, nullptr, plain);
    for (int j = 0; j < 256; ++j) {
      double want = 0;
      for (int64_t i = 0; i < dim; ++i) want += double{x[i]} * transposed[i * 256 + j];
      EXPECT_NEAR(plain[j], want, 1e-5);
      EXPECT_NEAR(scores[j], want + start[j], 1e-5);
    }
  }
}

TEST(IndexKernelsTest, ArgMaxTakesTheLowestOfEquals) {
  for (int where : {0, 7, 8, 100, 255}) {
    std::vector<float> scores(256, -1.0f);
    scores[where] = 2;
    EXPECT_EQ(ArgMax256(scores.data()), where);
    scores[255] = 2;
    scores[std::min(254, where + 3)] = 2;
    EXPECT_EQ(ArgMax256(scores.data()), std::min(where, 254)) << where;
  }
  EXPECT_EQ(ArgMax256(std::vector<float>(256, 0.5f).data()), 0);
}

}  // namespace
}  // namespace protopage
