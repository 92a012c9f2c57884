// ShadowMemory: records, for each word of an array on the device, who accessed it last, and so
// finds pairs of accesses that nothing orders, in whatever order the emulation ran them.
//
//   ShadowMemory shadow(256 * sizeof(float), ShadowMemory::kShared);
//   Access access;
//   access.work = 1;
//   access.thread = 1;
//   ShadowMemory::Result result = shadow.Note(0, 4, /*write=*/true, access, order);  // kNone
//   access.thread = 2;
//   result = shadow.Note(0, 4, /*write=*/false, access, order);  // kRace: no barrier since.
//
// An access comes after another one
//   - of the same thread
//   - of the same block, with a __syncthreads between them
//   - of the same warp, with a __syncwarp of all lanes between them; an exchange of lanes orders no
//     memory accesses
//   - of work that the order of the streams, their waits, or a wait of the host puts before it
//
// For each word the last write is known, and enough of the reads since then to check a later write.
// So every finding is a race, but a race may be missed where threads access different bytes of one
// word.
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

// Who accessed, and when. A copy is work of one thread.
struct Access {
  uint32_t work = 0;        // The launch or other work item of a stream, counted from 1.
  uint32_t block = 0;       // Of the launch.
  uint32_t thread = 0;      // Of the block.
  uint32_t barriers = 0;    // That the block has passed.
  uint32_t warp_syncs = 0;  // That the thread's warp has passed.
};

// The order of work items: whether `earlier_work` is ordered before the current one.
class WorkOrder {
 public:
  virtual ~WorkOrder() = default;
  virtual bool IsBefore(uint32_t earlier_work) const = 0;
};

class ShadowMemory {
 public:
  enum Kind {
    kDevice,
    // Each block has its own, unwritten when the block begins.
    kShared,
    // The host writes it as well, which is not reported.
    kPinned,
  };
  enum Finding { kNone, kRace, kUnwritten };
  struct Result {
    Finding finding = kNone;
    // Of a race: the other access, one of them if several threads read, and whether it wrote.
    Access other;
    bool other_wrote = false;
  };

  // For an array of `bytes` bytes.
  ShadowMemory(size_t bytes, Kind kind);

  Kind kind() const { return kind_; }

  // Notes an access to [offset, offset + bytes), which must lie in the array. Returns the finding
  // of the last word that has one.
  Result Note(size_t offset, size_t bytes, bool write, const Access& access,
              const WorkOrder& order);

 private:
  // The readers since the last write: one thread, several threads of one warp, several warps of a
  // block, or several blocks.
  enum Readers : uint8_t { kThread, kWarp, kBlock, kBlocks };
  struct Word {
    Access write, read;       // None if their work is 0.
    uint32_t other_read = 0;  // Another work item that read and is not ordered before read.work.
    uint8_t write_bytes = 0;  // A bit for each byte of the access.
    uint8_t read_bytes = 0;   // The bytes that all of `readers` read.
    uint8_t ever_written = 0;
    Readers readers = kThread;
  };

  static_assert(std::is_trivially_destructible_v<Word>);

  // Whether a word of shared memory was written by another block, and so is unwritten for this one.
  bool IsOfAnotherBlock(const Word& word, const Access& access) const;
  bool Comes(const Access& before, const Access& after, const WorkOrder& order) const;
  // These set *result if there is a finding.
  void NoteRead(Word& word, uint8_t bytes, const Access& access, const WorkOrder& order,
                Result* result) const;
  void NoteWrite(Word& word, uint8_t bytes, const Access& access, const WorkOrder& order,
                 Result* result) const;

  Kind kind_;
  // From calloc(), so that only pages that are used take memory.
  struct Free {
    void operator()(Word* words) const { std::free(words); }
  };
  std::unique_ptr<Word[], Free> words_;
};

}  // namespace emulation
}  // namespace protopage

#endif  // PROTOPAGE_MODEL_CUDA_EMULATION_SHADOW_MEMORY_H_
