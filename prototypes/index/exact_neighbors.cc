#include "protopage/prototypes/index/exact_neighbors.h"

#include <algorithm>
#include <limits>

#include "protopage/base/divide_up.h"
#include "protopage/prototypes/index/index_kernels.h"

namespace protopage {
namespace {

// Of a task: few enough queries for all threads to have work.
constexpr int64_t kQueryBlock = 8;
constexpr int64_t kRowBlock = 256;

}  // namespace

ExactNeighbors::ExactNeighbors(RowMatrixXf queries, int64_t k, std::vector<ClassId> exclude)
    : queries_(std::move(queries)),
      k_(k),
      exclude_(std::move(exclude)),
      best_(queries_.rows(), BestScores<ClassId>(k)) {}

void ExactNeighbors::Add(ClassId first, ConstRowMatrixRef rows, ThreadPool* pool) {
  const int64_t n = queries_.rows(), dim = queries_.cols();
  if (rows.outerStride() != dim) return Add(first, RowMatrixXf(rows), pool);
  pool->ParallelFor(DivideUp(n, kQueryBlock), [&](int64_t block) {
    const int64_t begin = block * kQueryBlock, count = std::min(kQueryBlock, n - begin);
    const float* queries[kQueryBlock];
    for (int64_t q = 0; q < count; ++q) queries[q] = queries_.data() + (begin + q) * dim;
    std::vector<float> scores(count * kRowBlock);
    for (int64_t row = 0; row < rows.rows(); row += kRowBlock) {
      const int64_t num_rows = std::min<int64_t>(kRowBlock, rows.rows() - row);
      FixedOrderDots(queries, count, rows.data() + row * dim, num_rows, dim, scores.data());
      for (int64_t q = 0; q < count; ++q) {
        BestScores<ClassId>& best = best_[begin + q];
        const ClassId exclude = exclude_.empty() ? kNoClass : exclude_[begin + q];
        best.AddRange(&scores[q * num_rows], num_rows, first + row,
                      [exclude](ClassId id) { return id != exclude; });
      }
    }
  });
}

void ExactNeighbors::Finish() {
  const int64_t n = queries_.rows();
  ids_.assign(n * k_, kNoClass);
  scores_.assign(n * k_, -std::numeric_limits<float>::infinity());
  for (int64_t q = 0; q < n; ++q) {
    const std::vector<Scored<ClassId>> best = best_[q].TakeSorted();
    for (size_t j = 0; j < best.size(); ++j) {
      ids_[q * k_ + j] = best[j].id;
      scores_[q * k_ + j] = best[j].score;
    }
  }
}

double RecallOf(const ExactNeighbors& exact, int64_t k, absl::Span<const ClassId> found) {
  const int64_t n = exact.num_queries();
  const int64_t m = n > 0 ? static_cast<int64_t>(found.size()) / n : 0;
  int64_t hits = 0, wanted = 0;
  for (int64_t q = 0; q < n; ++q) {
    std::vector<ClassId> sorted(found.begin() + q * m, found.begin() + (q + 1) * m);
    std::sort(sorted.begin(), sorted.end());
    for (int64_t j = 0; j < k; ++j) {
      const ClassId id = exact.ids()[q * exact.k() + j];
      if (id == kNoClass) break;
      ++wanted;
      hits += std::binary_search(sorted.begin(), sorted.end(), id) ? 1 : 0;
    }
  }
  return wanted > 0 ? static_cast<double>(hits) / static_cast<double>(wanted) : 1.0;
}

}  // namespace protopage
