// Searches of a ClassIndex with the rows of a PrototypeStore.
//
// FindNeighbors: the nearest classes of given classes, by their rows in the store as they are now.
// What ClassQueues asks for:
//
//   PROTOPAGE_RETURN_IF_ERROR(queues->EnsureBuilt(
//       ids, step, [&](auto ids, int64_t k, auto neighbors) {
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

// neighbors [ids.size(), k]: nearest first, without ids[i] itself and dropped classes; kNoClass at
// the end when there are fewer (or more than k dropped ones lie nearer). Errors: the store's and
// the index's; InvalidArgument (size of `neighbors`).
absl::Status FindNeighbors(PrototypeStore* store, const ClassIndex& index, ThreadPool* pool,
                           absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors);

// Reads rows past the store's cache: the candidates of a search are many and few are wanted soon,
// so they must not push out the rows of the next steps. Rows that are cached are taken from the
// cache. The store's small cache of blocks (checksums) does fill. `store` must live as long as the
// function.
RowFetcher UncachedRows(PrototypeStore* store);

// How much of the truth searches find.
struct IndexRecall {
  int64_t classes = 0;  // Sampled.
  int64_t k = 0;
  // The share of the k nearest classes of a sampled one, by the rows in the store now, that
  // FindNeighbors finds.
  double recall = 1;
};

// For `num_classes` classes drawn by `seed`, which are looked up in the whole store: reads all its
// rows once, past the cache, and takes about num_classes * N * 50 ns of one thread at D = 512.
// Errors: InvalidArgument; the store's and the index's.
absl::StatusOr<IndexRecall> MeasureRecall(PrototypeStore* store, const ClassIndex& index,
                                          ThreadPool* pool, int64_t num_classes, int64_t k,
                                          uint64_t seed);

// An estimate of the recall, from a sample of rows; those of several draws may be added.
struct RecallEstimate {
  int64_t queries = 0;
  double missed = 0;  // The sum over the queries of the share of their neighbours that was missed.
  double recall() const { return queries > 0 ? 1 - missed / static_cast<double>(queries) : 1; }
};

// For logs: searches for the k neighbours of 16 classes and looks at N / k rows, but at least 8192
// and at most 262144, in blocks of neighbouring ids; both are drawn by (seed, draw). Each looked-at
// row that is nearer than the k-th found and was not found stands for as many as were not looked
// at. What is missed is taken to be spread evenly among what is found. Noisy: by up to 1 / 16 a
// missed row. Reads past the store's cache. Errors: as MeasureRecall's.
absl::StatusOr<RecallEstimate> EstimateRecall(PrototypeStore* store, const ClassIndex& index,
                                              ThreadPool* pool, int64_t k, uint64_t seed,
                                              int64_t draw);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
