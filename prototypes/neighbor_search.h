// Searches of a ClassIndex with the rows of a PrototypeStore.
//
// FindNeighbors finds the nearest classes of given classes, by the current rows of the store. It is
// the search that ClassQueues needs:
//
//   PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(
//       positives, step,
//       [&](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
//         return FindNeighbors(store.get(), *index, &pool, ids, k, neighbors);
//       }));
#ifndef PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
#define PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/prototype_store.h"

namespace protopage {

// Fills `neighbors` [ids.size(), k], nearest first, without ids[i] itself and without dropped
// classes. Reads rows as UncachedRows does. kNoClass follows where there are fewer (or where more
// than k dropped classes are nearer). Errors: InvalidArgument (size of `neighbors`), those of the
// store and the index.
absl::Status FindNeighbors(PrototypeStore* store, const ClassIndex& index, ThreadPool* pool,
                           absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors);

// Returns a fetcher that reads rows without caching them: the candidates of a search are many, few
// are needed again soon, and they must not evict the rows of the next steps. Rows that are cached
// are copied from the cache. The store's small cache of blocks (checksums) does fill. `store` must
// outlive the fetcher.
RowFetcher UncachedRows(PrototypeStore* store);

// The share of the true neighbours that searches find.
struct IndexRecall {
  int64_t classes = 0;  // Sampled.
  int64_t k = 0;
  // The share of the k nearest classes of a sampled class, by the current rows of the store, that
  // FindNeighbors finds.
  double recall = 1;
};

// Measures the recall for `num_classes` classes drawn by `seed`, against a scan of the whole store:
// reads all its rows once, without caching them, and takes about num_classes * N * 50 ns of one
// thread at D = 512. Errors: InvalidArgument, those of the store and the index.
absl::StatusOr<IndexRecall> MeasureRecall(PrototypeStore* store, const ClassIndex& index,
                                          ThreadPool* pool, int64_t num_classes, int64_t k,
                                          uint64_t seed);

// An estimate of the recall, from a sample of rows. Estimates of several draws may be added.
struct RecallEstimate {
  int64_t queries = 0;
  double missed = 0;  // The sum over the queries of the share of their neighbours that was missed.
  double recall() const { return queries > 0 ? 1 - missed / static_cast<double>(queries) : 1; }
};

// Estimates the recall, for logs: searches for the k neighbours of 16 classes, and scores a sample
// of N / k rows, at least 8192 and at most 262144, in blocks of neighbouring ids. Both are drawn by
// (seed, draw). A sampled row that is nearer than the k-th found and was not found stands for the
// rows that were not sampled; missed classes are assumed to be spread evenly among the found ones.
// The estimate is noisy: a missed row changes it by up to 1 / 16. Rows are read without caching
// them. Errors: as MeasureRecall.
absl::StatusOr<RecallEstimate> EstimateRecall(PrototypeStore* store, const ClassIndex& index,
                                              ThreadPool* pool, int64_t k, uint64_t seed,
                                              int64_t draw);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
