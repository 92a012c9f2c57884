// ShadowMemory: beside an array of a device, who accessed each word of it last, so that two
// accesses of which nothing says which comes first are found whatever order the emulation ran them
// in.
//
//   ShadowMemory shadow(256 * sizeof(float), ShadowMemory::kShared);
//   Access access = {...};  // Of thread 1.
//   shadow.Note(0, 4, /*write=*/true, access, order);  // kNone
//   access.thread = 2;
//   shadow.Note(0, 4, /*write=*/false, access, order);  // kRace: no barrier since.
//
// An access comes after another
//  - of the same thread;
//  - of the block, with a __syncthreads between them;
//  - of the warp, with a __syncwarp of all its lanes between them; not with an exchange of lanes,
//  which orders
//    no memory;
//  - of work that is done before by the streams, by what they wait for and by what the host waited
//  for.
// Of the accesses to a word the last write is known, and of the reads since as much as tells a
// later write. So what is found is a race; one may be missed where threads access other bytes of
// one word.
#ifndef PROTOPAGE_MODEL_CUDA_EMULATION_SHADOW_MEMORY_H_
#define PROTOPAGE_MODEL_CUDA_EMULATION_SHADOW_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace protopage {
namespace emulation {

constexpr uint32_t kShadowWarp = 32;

// Who, and when. A copy is work of one thread.
struct Access {
  uint32_t work = 0;        // One launch, or another thing that a stream does, counted from 1.
  uint32_t block = 0;       // Of the launch.
  uint32_t thread = 0;      // Of the block.
  uint32_t barriers = 0;    // That the block has passed,
  uint32_t warp_syncs = 0;  // and the thread's warp.
};

// What work comes before the work that accesses.
class WorkOrder {
 public:
  virtual ~WorkOrder() = default;
  virtual bool IsBefore(uint32_t earlier_work) const = 0;
};

class ShadowMemory {
 public:
  enum Kind {
    kDevice,
    // Of each block by itself, unwritten when it begins.
    kShared,
    // Written by the host as well, of which nobody tells.
    kPinned,
  };
  enum Finding { kNone, kRace, kUnwritten };
  struct Result {
    Finding finding = kNone;
    // Of a race: the other access, and whether it wrote. Of the reads of several threads it is one.
    Access other;
    bool other_wrote = false;
  };

  // Of an array of `bytes` bytes.
  ShadowMemory(size_t bytes, Kind kind);

  Kind kind() const { return kind_; }

  // Notes an access to [offset, offset + bytes), which lies in the array. The result is of the last
  // word with a finding.
  Result Note(size_t offset, size_t bytes, bool write, const Access& access,
              const WorkOrder& order);

 private:
  // Who has read since: one thread; several of one warp; several warps of a block; several blocks.
  enum Readers : uint8_t { kThread, kWarp, kBlock, kBlocks };
  struct Word {
    Access write, read;       // Work 0: none.
    uint32_t other_read = 0;  // Work that read, beside read.work, and is not before it.
    uint8_t write_bytes = 0;  // Bits, of the bytes of the access.
    uint8_t read_bytes = 0;   // By all that `readers` speaks of.
    uint8_t ever_written = 0;
    Readers readers = kThread;
  };

  static_assert(std::is_trivially_destructible_v<Word>);

  // Whether what a word of shared memory holds is of another block, and so unwritten for this one.
  bool IsOfAnotherBlock(const Word& word, const Access& access) const;
  bool Comes(const Access& before, const Access& after, const WorkOrder& order) const;
  // `result` is set when something is found.
  void NoteRead(Word& word, uint8_t bytes, const Access& access, const WorkOrder& order,
                Result* result) const;
  void NoteWrite(Word& word, uint8_t bytes, const Access& access, const WorkOrder& order,
                 Result* result) const;

  Kind kind_;
  // From calloc(), which takes memory for the pages that are used.
  struct Free {
    void operator()(Word* words) const { std::free(words); }
  };
  std::unique_ptr<Word[], Free> words_;
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_SHADOW_MEMORY_H_
