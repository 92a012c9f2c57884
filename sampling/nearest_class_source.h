// NearestClassSource: the exactly nearest classes in the place of dominant queues, for mode
// "nearest".
//
//   NearestClassSource source(/*count=*/20, SearchPrototypes(store.get(), index.get(), &pool));
//
// Searches at every step. What it finds is exact when the index is exact and up to date, which is
// the caller's matter: a flat index that takes in the changed rows after each step.
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
  // The `count` >= 1 nearest of each class are its dominants.
  NearestClassSource(int64_t count, NeighborSearchFunction search);

  // Errors: the search's.
  absl::StatusOr<std::vector<ClassId>> Dominants(int64_t step,
                                                 absl::Span<const ClassId> classes) override;
  // Mistakes teach nothing: the rows themselves are searched.
  absl::Status ApplyMistakes(absl::Span<const ClassId> classes, absl::Span<const int32_t> slots,
                             absl::Span<const int32_t> predicted) override;

 private:
  const int64_t count_;
  const NeighborSearchFunction search_;
};

}  // namespace protopage

#endif  // PROTOPAGE_SAMPLING_NEAREST_CLASS_SOURCE_H_
