// Searches of a ClassIndex with the rows of a PrototypeStore.
//
// FindNeighbors: the nearest classes of given classes, by their rows in the store as they are now.
// What ClassQueues asks for:
//
//   RETURN_IF_ERROR(queues->EnsureBuilt(
//       ids, step, [&](auto ids, int64_t k, auto neighbors) {
//         return FindNeighbors(store.get(), *index, &pool, ids, k, neighbors);
//       }));
#ifndef PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
#define PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/thread_pool.h"
#include "base/types.h"
#include "prototypes/class_index.h"
#include "prototypes/prototype_store.h"

namespace protopage {

// neighbors [ids.size(), k]: nearest first, without ids[i] itself; kNoClass at the end when there
// are fewer. Errors: the store's and the index's; InvalidArgument (size of `neighbors`).
absl::Status FindNeighbors(PrototypeStore* store, const ClassIndex& index, ThreadPool* pool,
                           absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors);

// Reads rows past the store's cache: the candidates of a search are many and few are wanted soon, so
// they must not push out the rows of the next steps. Rows that are cached are taken from the cache. The
// store's small cache of blocks (checksums) does fill. `store` must live as long as the function.
RowFetcher UncachedRows(PrototypeStore* store);

// How much of the truth searches find.
struct IndexRecall {
  int64_t classes = 0;  // Sampled.
  int64_t k = 0;
  // The share of the k nearest classes of a sampled one, by the rows in the store now, that
  // FindNeighbors finds.
  double recall = 1;
};

// For `num_classes` classes drawn by `seed`, which are looked up in the whole store: reads all its rows
// once, past the cache, and takes about num_classes * N * 50 ns of one thread at D = 512.
// Errors: InvalidArgument; the store's and the index's.
absl::StatusOr<IndexRecall> MeasureRecall(PrototypeStore* store, const ClassIndex& index,
                                          ThreadPool* pool, int64_t num_classes, int64_t k,
                                          uint64_t seed);

// What an estimate of the recall counted; counts of several estimates may be added.
struct RecallCounts {
  // Sampled rows at least as near to a sampled class as the last neighbour that was found for it,
  int64_t near = 0;
  // and those of them that were found.
  int64_t found = 0;
};

// An estimate of the recall that costs the same at any N, for logs: searches for the k neighbours of 16
// classes and looks at 8192 rows in blocks of neighbouring ids (all rows when there are no more), both drawn by
// (seed, draw). found / near is the share found of the classes as near as the k-th one found: 1 when
// nothing was missed. At N classes it is of 16 k 8192 / N rows in the mean, so it takes many draws
// where N is large. Reads past the store's cache. Errors: as MeasureRecall's.
absl::StatusOr<RecallCounts> EstimateRecall(PrototypeStore* store, const ClassIndex& index,
                                            ThreadPool* pool, int64_t k, uint64_t seed,
                                            int64_t draw);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
