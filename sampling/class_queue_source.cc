#include "protopage/sampling/class_queue_source.h"

#include <algorithm>
#include <utility>

#include "protopage/base/status_macros.h"
#include "protopage/prototypes/neighbor_search.h"

namespace protopage {

NeighborSearchFunction SearchPrototypes(PrototypeStore* store, const ClassIndex* index,
                                        ThreadPool* pool) {
  return [=](absl::Span<const ClassId> ids, int64_t k, absl::Span<ClassId> neighbors) {
    return FindNeighbors(store, *index, pool, ids, k, neighbors);
  };
}

ClassQueueSource::ClassQueueSource(ClassQueues* queues, NeighborSearchFunction search)
    : queues_(queues), search_(std::move(search)) {}

absl::StatusOr<std::vector<ClassId>> ClassQueueSource::Dominants(
    int64_t step, absl::Span<const ClassId> classes) {
  PROTOPAGE_RETURN_IF_ERROR(queues_->EnsureBuilt(classes, step, search_));
  const int64_t length = queues_->dominant_queue();
  std::vector<ClassId> all(classes.size() * length);
  for (size_t i = 0; i < classes.size(); ++i) {
    PROTOPAGE_RETURN_IF_ERROR(
        queues_->Dominants(classes[i], absl::MakeSpan(all).subspan(i * length, length)));
  }
  all.erase(std::remove(all.begin(), all.end(), kNoClass), all.end());
  return all;
}

absl::Status ClassQueueSource::ApplyMistakes(absl::Span<const ClassId> classes,
                                             absl::Span<const int32_t> slots,
                                             absl::Span<const int32_t> predicted) {
  return queues_->ApplyMistakes(classes, slots, predicted);
}

}  // namespace protopage
