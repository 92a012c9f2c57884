#include "protopage/base/keyed_permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace protopage {
namespace {

std::vector<int64_t> Order(uint64_t key, uint32_t stream, int64_t n) {
  const KeyedPermutation permutation(key, stream, n);
  std::vector<int64_t> order(n);
  for (int64_t i = 0; i < n; ++i) order[i] = permutation.At(i);
  return order;
}

TEST(KeyedPermutation, TheExampleOfTheHeader) {
  const uint64_t key = 1;
  const uint32_t epoch = 2;
  const int64_t n = 10;
  int64_t sum = 0;
  const auto Visit = [&](int64_t x) { sum += x; };
  const KeyedPermutation order(key, /*stream=*/epoch, n);
  for (int64_t i = 0; i < n; ++i) Visit(order.At(i));  // Each of [0, n) once.
  EXPECT_EQ(sum, 45);
}

TEST(KeyedPermutation, VisitsEachElementOnce) {
  for (const int64_t n : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4097}) {
    std::vector<int> seen(n, 0);
    for (const int64_t x : Order(7, 3, n)) {
      ASSERT_GE(x, 0);
      ASSERT_LT(x, n);
      ++seen[x];
    }
    for (int64_t x = 0; x < n; ++x) ASSERT_EQ(seen[x], 1) << x << " of " << n;
  }
}

TEST(KeyedPermutation, IsAFunctionOfKeyStreamAndSize) {
  const std::vector<int64_t> order = Order(1, 2, 100);
  EXPECT_EQ(Order(1, 2, 100), order);
  EXPECT_NE(Order(2, 2, 100), order);
  EXPECT_NE(Order(uint64_t{1} << 32 | 1, 2, 100), order);
  EXPECT_NE(Order(1, 3, 100), order);
}

TEST(KeyedPermutation, TakesTheLargestTables) {
  const int64_t n = int64_t{1} << 40;
  const KeyedPermutation permutation(1, 0, n);
  EXPECT_NE(permutation.At(0), permutation.At(n - 1));
  EXPECT_LT(permutation.At(n - 1), n);
}

// Every element is equally likely at every position: chi-square over 4,000 streams, on a domain
// that is a power of 4 and on one that needs the walk.
TEST(KeyedPermutation, IsUniformOverStreams) {
  for (const int64_t n : {5, 16}) {
    constexpr int kStreams = 4000;
    std::vector<int> count(n * n, 0);
    for (uint32_t stream = 0; stream < kStreams; ++stream) {
      const KeyedPermutation permutation(11, stream, n);
      for (int64_t i = 0; i < n; ++i) ++count[i * n + permutation.At(i)];
    }
    const double expected = static_cast<double>(kStreams) / n;
    double chi_square = 0;
    for (const int c : count) chi_square += (c - expected) * (c - expected) / expected;
    // (n - 1)^2 degrees of freedom; five standard deviations above the mean.
    const double freedom = static_cast<double>((n - 1) * (n - 1));
    EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom)) << n;
  }
}

// Neighbours in the order are unrelated: the mean distance of consecutive elements of a shuffle
// is n / 3.
TEST(KeyedPermutation, HasNoRuns) {
  const int64_t n = 10000;
  const std::vector<int64_t> order = Order(5, 0, n);
  double sum = 0;
  for (int64_t i = 1; i < n; ++i) sum += std::abs(static_cast<double>(order[i] - order[i - 1]));
  EXPECT_NEAR(sum / (n - 1), n / 3.0, 0.02 * n);
}

}  // namespace
}  // namespace protopage
