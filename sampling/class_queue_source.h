// ClassQueueSource: the paged queues of prototypes/class_queues.h as a DominantSource.
//
//   ClassQueueSource source(queues.get(), SearchPrototypes(store.get(), index.get(), &pool));
//   planner_options.dominants = &source;
#ifndef PROTOPAGE_SAMPLING_CLASS_QUEUE_SOURCE_H_
#define PROTOPAGE_SAMPLING_CLASS_QUEUE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/thread_pool.h"
#include "protopage/base/types.h"
#include "protopage/prototypes/class_queues.h"
#include "protopage/prototypes/index/class_index.h"
#include "protopage/prototypes/prototype_store.h"
#include "protopage/sampling/dominant_source.h"

namespace protopage {

// As ClassQueues::NeighborSearch, but owns its function.
using NeighborSearchFunction = std::function<absl::Status(absl::Span<const ClassId> ids, int64_t k,
                                                          absl::Span<ClassId> neighbors)>;

// Returns FindNeighbors of prototypes/neighbor_search.h with these arguments, which are not owned
// and must outlive the function.
NeighborSearchFunction SearchPrototypes(PrototypeStore* store, const ClassIndex* index,
                                        ThreadPool* pool);

class ClassQueueSource : public DominantSource {
 public:
  // `queues` is not owned. `search` finds the candidates of classes that are drawn for the first
  // time or whose candidates are too old.
  ClassQueueSource(ClassQueues* queues, NeighborSearchFunction search);

  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                 absl::Span<const ClassId> classes) override;
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted) override;

 private:
  ClassQueues* const queues_;
  const NeighborSearchFunction search_;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_CLASS_QUEUE_SOURCE_H_
