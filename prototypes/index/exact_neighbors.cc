#include "protopage/prototypes/index/exact_neighbors.h"

#include <algorithm>
#include <limits>

#include "protopage/prototypes/index/index_kernels.h"

namespace protopage {
namespace {

// A task: few enough queries for both threads to have work.
constexpr int64_t kQueryBlock = 8;
constexpr int64_t kRowBlock = 256;

}  // namespace

ExactNeighbors::ExactNeighbors(RowMatrixXf queries, int64_t k, std::vector<ClassId> exclude)
    : queries_(std::move(queries)), k_(k), exclude_(std::move(exclude)), best_(queries_.rows()) {}

void ExactNeighbors::Add(ClassId first, ConstRowMatrixRef rows, ThreadPool* pool) {
  const int64_t n = queries_.rows(), dim = queries_.cols();
  if (rows.outerStride() != dim) return Add(first, RowMatrixXf(rows), pool);
  pool->ParallelFor((n + kQueryBlock - 1) / kQueryBlock, [&](int64_t block) {
    const int64_t begin = block * kQueryBlock, count = std::min(kQueryBlock, n - begin);
    const float* queries[kQueryBlock];
    for (int64_t q = 0; q < count; ++q) queries[q] = queries_.data() + (begin + q) * dim;
    std::vector<float> scores(count * kRowBlock);
    for (int64_t row = 0; row < rows.rows(); row += kRowBlock) {
      const int64_t num_rows = std::min<int64_t>(kRowBlock, rows.rows() - row);
      FixedOrderDots(queries, count, rows.data() + row * dim, num_rows, dim, scores.data());
      for (int64_t q = 0; q < count; ++q) {
        std::vector<Hit>& heap = best_[begin + q];
        const ClassId exclude = exclude_.empty() ? kNoClass : exclude_[begin + q];
        for (int64_t r = 0; r < num_rows; ++r) {
          const Hit hit = {scores[q * num_rows + r], first + row + r};
          const bool full = static_cast<int64_t>(heap.size()) == k_;
          if (hit.id == exclude || (full && !BetterHit()(hit, heap.front()))) continue;
          if (full) {
            std::pop_heap(heap.begin(), heap.end(), BetterHit());
            heap.pop_back();
          }
          heap.push_back(hit);
          std::push_heap(heap.begin(), heap.end(), BetterHit());
        }
      }
    }
  });
}

void ExactNeighbors::Finish() {
  const int64_t n = queries_.rows();
  ids_.assign(n * k_, kNoClass);
  scores_.assign(n * k_, -std::numeric_limits<float>::infinity());
  for (int64_t q = 0; q < n; ++q) {
    std::sort(best_[q].begin(), best_[q].end(), BetterHit());
    for (size_t j = 0; j < best_[q].size(); ++j) {
      ids_[q * k_ + j] = best_[q][j].id;
      scores_[q * k_ + j] = best_[q][j].score;
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
