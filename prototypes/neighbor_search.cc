#include "protopage/prototypes/neighbor_search.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/random.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/index/exact_neighbors.h"
#include "protopage/prototypes/index/index_kernels.h"

namespace protopage {
namespace {

// PrototypeStore::Gather without filling the cache: a search may run while the rows of coming steps
// are pinned there. `rows` is resized.
absl::Status GatherUncached(PrototypeStore* store, absl::Span<const ClassId> ids,
                            RowMatrixXf* rows) {
  std::vector<ClassId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  RowMatrixXf found(sorted.size(), store->dim());
  PROTOPAGE_RETURN_IF_ERROR(store->ReadRows(sorted, found));
  rows->resize(ids.size(), store->dim());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (store->is_dropped(ids[i])) {
      return absl::FailedPreconditionError(
          absl::StrCat(store->path(), ": id ", ids[i], " is a class that was dropped"));
    }
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), ids[i]);
    rows->row(i) = found.row(at - sorted.begin());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FindNeighbors(PrototypeStore* store, const ClassIndex& index, ThreadPool* pool,
                           absl::Span<const ClassId> ids, int64_t k,
                           absl::Span<ClassId> neighbors) {
  if (static_cast<int64_t>(neighbors.size()) != static_cast<int64_t>(ids.size()) * k) {
    return absl::InvalidArgumentError(
        absl::StrCat("room for ", neighbors.size(), " neighbors, expected ", ids.size(), " x ", k));
  }
  // The rows of dropped classes are zeros in the index: nearer than all rows that point away.
  const int64_t asked = k + std::min(k, store->num_dropped());
  constexpr size_t kBatch = 256;
  RowMatrixXf rows;
  NearestClasses nearest;
  for (size_t begin = 0; begin < ids.size(); begin += kBatch) {
    const absl::Span<const ClassId> batch = ids.subspan(begin, kBatch);
    PROTOPAGE_RETURN_IF_ERROR(GatherUncached(store, batch, &rows));
    PROTOPAGE_RETURN_IF_ERROR(
        index.Search(rows, asked, batch, UncachedRows(store), pool, &nearest));
    for (size_t q = 0; q < batch.size(); ++q) {
      const auto found = neighbors.subspan((begin + q) * k, k);
      std::fill(found.begin(), found.end(), kNoClass);
      int64_t count = 0;
      for (int64_t j = 0; j < asked && count < k; ++j) {
        const ClassId id = nearest.ids[q * asked + j];
        if (id != kNoClass && !store->is_dropped(id)) found[count++] = id;
      }
    }
  }
  return absl::OkStatus();
}

RowFetcher UncachedRows(PrototypeStore* store) {
  return [store](absl::Span<const ClassId> ids, RowMatrixRef rows) {
    return store->ReadRows(ids, rows);
  };
}

absl::StatusOr<IndexRecall> MeasureRecall(PrototypeStore* store, const ClassIndex& index,
                                          ThreadPool* pool, int64_t num_classes, int64_t k,
                                          uint64_t seed) {
  const int64_t n = store->num_classes(), dim = store->dim();
  if (num_classes < 1 || num_classes > n || k < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        num_classes, " sampled classes, k ", k, "; allowed are 1 to ", n, " and k of 1 or more"));
  }
  RandomStream random(seed, RandomPurpose::kIndex, 2);
  std::vector<ClassId> ids = SampleWithoutReplacement(random, n, num_classes);
  std::sort(ids.begin(), ids.end());
  RowMatrixXf queries(num_classes, dim);
  PROTOPAGE_RETURN_IF_ERROR(UncachedRows(store)(ids, queries));
  NearestClasses nearest;
  PROTOPAGE_RETURN_IF_ERROR(index.Search(queries, k, ids, UncachedRows(store), pool, &nearest));

  constexpr int64_t kBlockRows = 4096;
  ExactNeighbors exact(std::move(queries), k, ids);
  RowMatrixXf rows(std::min(kBlockRows, n), dim);
  for (int64_t first = 0; first < n; first += kBlockRows) {
    const int64_t count = std::min(kBlockRows, n - first);
    PROTOPAGE_RETURN_IF_ERROR(store->ReadRange(first, rows.topRows(count)));
    exact.Add(first, rows.topRows(count), pool);
  }
  exact.Finish();
  IndexRecall recall;
  recall.classes = num_classes;
  recall.k = k;
  recall.recall = RecallOf(exact, k, nearest.ids);
  return recall;
}

absl::StatusOr<RecallEstimate> EstimateRecall(PrototypeStore* store, const ClassIndex& index,
                                              ThreadPool* pool, int64_t k, uint64_t seed,
                                              int64_t draw) {
  constexpr int64_t kQueries = 16, kBlockRows = 128, kLeastRows = 8192, kMostRows = 262144;
  const int64_t n = store->num_classes();
  if (k < 1) return absl::InvalidArgumentError(absl::StrCat("k is ", k, ", expected 1 or more"));
  RandomStream random(seed, RandomPurpose::kIndex, draw, /*b=*/3);
  std::vector<ClassId> ids = SampleWithoutReplacement(random, n, std::min(n, kQueries));
  std::sort(ids.begin(), ids.end());
  const int64_t num_queries = static_cast<int64_t>(ids.size());
  RowMatrixXf queries(num_queries, store->dim());
  PROTOPAGE_RETURN_IF_ERROR(UncachedRows(store)(ids, queries));
  NearestClasses nearest;
  PROTOPAGE_RETURN_IF_ERROR(index.Search(queries, k, ids, UncachedRows(store), pool, &nearest));

  const int64_t wanted = std::clamp(n / k, kLeastRows, kMostRows);
  const int64_t all_blocks = DivideUp(n, kBlockRows);
  std::vector<int64_t> blocks =
      SampleWithoutReplacement(random, all_blocks, std::min(all_blocks, wanted / kBlockRows));
  std::sort(blocks.begin(), blocks.end());
  std::vector<int64_t> missed(num_queries);
  int64_t seen = 0;
  RowMatrixXf rows(std::min(kBlockRows, n), store->dim());
  for (const int64_t block : blocks) {
    const ClassId first = block * kBlockRows;
    const int64_t count = std::min(kBlockRows, n - first);
    PROTOPAGE_RETURN_IF_ERROR(store->ReadRange(first, rows.topRows(count)));
    seen += count;
    for (int64_t q = 0; q < num_queries; ++q) {
      const ClassId* const found = nearest.ids.data() + q * k;
      const float farthest = nearest.scores[(q + 1) * k - 1];
      for (int64_t i = 0; i < count; ++i) {
        const float score = FixedOrderDot(&queries(q, 0), &rows(i, 0), store->dim());
        // A row as near as the last one found is no miss: among these the id decides.
        if (first + i == ids[q] || !(score > farthest)) continue;
        missed[q] += std::find(found, found + k, first + i) == found + k ? 1 : 0;
      }
    }
  }
  RecallEstimate estimate;
  estimate.queries = num_queries;
  // k of the k + m classes that are as near as the last one found were found. If they are spread
  // evenly, so were k / (k + m) of the nearest k.
  for (const int64_t in_sample : missed) {
    const double m = static_cast<double>(in_sample * n) / static_cast<double>(seen);
    estimate.missed += m / (static_cast<double>(k) + m);
  }
  return estimate;
}

}  // namespace protopage
