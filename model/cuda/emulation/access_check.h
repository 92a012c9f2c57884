// AccessCheck: in the build that tells of accesses (access_hooks.h), finds
//  - two accesses, of which one writes, of which nothing says which comes first: of threads of a
//  kernel, or
//    of the work of two streams;
//  - reads of memory that nothing has written.
//
//   AccessCheck& check = AccessCheck::The();
//   check.Allocate(pointer, bytes, ShadowMemory::kDevice);
//   check.Begin({stream, position, clock});  // From here on all is done by this work.
//   if (auto error = check.Note(pointer, bytes, /*write=*/true)) return *error;
//   check.Free(pointer);
//
// In other builds every function does nothing. Used by one thread at a time.
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

// How many of the things that each stream was given are done, by the number of the stream.
using StreamClock = std::map<uint64_t, int64_t>;
void Merge(const StreamClock& from, StreamClock* to);

// When some work is done: as number `position` of those that its stream was given, after all of
// `after`.
struct WorkTime {
  uint64_t stream = 0;
  int64_t position = 0;
  StreamClock after;
};

class AccessCheck : private WorkOrder {
 public:
  static AccessCheck& The();

  // Shared memory is allocated for all blocks of a launch, one after the other.
  void Allocate(const void* pointer, size_t bytes, ShadowMemory::Kind kind);
  void Free(const void* pointer);

  // What is noted from now on is done by other work. One stream's is begun in its order.
  void Begin(const WorkTime& time);
  // An access of that work itself. An error in words.
  std::optional<std::string> Note(const void* pointer, size_t bytes, bool write);

  // An access of a thread, if the work is a kernel; access.work is work().
  std::optional<std::string> Note(const void* pointer, size_t bytes, bool write,
                                  const Access& access);
  uint32_t work() const { return static_cast<uint32_t>(moments_.size()); }

 private:
  struct Array {
    const char* begin;
    const char* end;
    ShadowMemory shadow;
  };
  // What work was done when.
  struct Moment {
    uint64_t stream;
    int64_t position;
  };

  AccessCheck() = default;
  // The array that [pointer, pointer + bytes) lies in, or null.
  Array* Find(const void* pointer, size_t bytes);
  bool IsBefore(uint32_t earlier_work) const override;

  const bool on_ = AccessesAreTold();
  std::map<const char*, Array> arrays_;  // By their ends.
  // Those that were found last, by bits of the address.
  std::array<Array*, 256> found_ = {};
  std::vector<Moment> moments_;  // Of work 1, 2, ...
  StreamClock after_;            // Of the last.
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_ACCESS_CHECK_H_
