// AccessCheck: in a build that reports memory accesses (access_hooks.h), finds
//   - races: two accesses to one place, at least one of them a write, that nothing orders; by two
//     threads of a kernel or by the work of two streams
//   - reads of memory that was never written
//
// In other builds every function does nothing. Not thread-safe.
//
//   AccessCheck& check = AccessCheck::The();
//   check.Allocate(pointer, bytes, ShadowMemory::kDevice);
//   check.Begin({stream, position, clock});  // The accesses that follow belong to this work.
//   if (auto error = check.Note(pointer, bytes, /*write=*/true)) return *error;
//   check.Free(pointer);
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_CHECK_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_CHECK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protopage/model/cuda/emulation/access_hooks.h"
#include "protopage/model/cuda/emulation/shadow_memory.h"

namespace protopage {
namespace emulation {

// For each stream, by its number, how many of its work items are done.
using StreamClock = std::map<uint64_t, int64_t>;
// Raises each entry of *to to that of `from`.
void Merge(const StreamClock& from, StreamClock* to);

// The place of a work item in the order of execution: number `position` of its stream, after all
// that `after` counts.
struct WorkTime {
  uint64_t stream = 0;
  int64_t position = 0;
  StreamClock after;
};

class AccessCheck : private WorkOrder {
 public:
  static AccessCheck& The();

  // Shared memory is allocated once per launch; its blocks use it in turn.
  void Allocate(const void* pointer, size_t bytes, ShadowMemory::Kind kind);
  void Free(const void* pointer);

  // Accesses noted from now on belong to a new work item. Items of one stream begin in their order.
  void Begin(const WorkTime& time);
  // Notes an access by the work item as a whole. Returns a description of the error found, if any.
  std::optional<std::string> Note(const void* pointer, size_t bytes, bool write);

  // The same for one thread of a kernel; access.work must be work().
  std::optional<std::string> Note(const void* pointer, size_t bytes, bool write,
                                  const Access& access);
  uint32_t work() const { return static_cast<uint32_t>(moments_.size()); }

 private:
  struct Array {
    const char* begin;
    const char* end;
    ShadowMemory shadow;
  };
  // When a work item was done.
  struct Moment {
    uint64_t stream;
    int64_t position;
  };

  AccessCheck() = default;
  // The array that [pointer, pointer + bytes) lies in, or null.
  Array* Find(const void* pointer, size_t bytes);
  bool IsBefore(uint32_t earlier_work) const override;

  const bool on_ = AccessesAreReported();
  std::map<const char*, Array> arrays_;  // By end address.
  // A cache of Find(), indexed by bits of the address.
  std::array<Array*, 256> found_ = {};
  std::vector<Moment> moments_;  // Of work items 1, 2, ...
  StreamClock after_;            // WorkTime::after of the current item.
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_CHECK_H_
