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

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_NEIGHBOR_SEARCH_H_
