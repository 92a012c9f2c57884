// NearestClassSource: the exactly nearest classes instead of dominant queues, for modes that need
// DominantKind::kNearest.
//
//   NearestClassSource source(/*count=*/20, SearchPrototypes(store.get(), index.get(), &pool));
//
// It searches at every step. The result is exact if the index is exact and up to date. The caller
// ensures that, with a flat index that is updated with the changed rows after each step.
#ifndef PROTOPAGE_SAMPLING_NEAREST_CLASS_SOURCE_H_
#define PROTOPAGE_SAMPLING_NEAREST_CLASS_SOURCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/types.h"
#include "protopage/sampling/class_queue_source.h"
#include "protopage/sampling/dominant_source.h"

namespace protopage {

class NearestClassSource : public DominantSource {
 public:
  // The dominant classes of a class are its `count` >= 1 nearest ones.
  NearestClassSource(int64_t count, NeighborSearchFunction search);

  // Errors: those of the search.
  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                 absl::Span<const ClassId> classes) override;
  // Does nothing: the rows themselves are searched.
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted) override;

 private:
  const int64_t count_;
  const NeighborSearchFunction search_;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_NEAREST_CLASS_SOURCE_H_
