#include "protopage/model/cuda/emulation/shadow_memory.h"

#include <algorithm>

#include "protopage/base/check.h"

namespace protopage {
namespace emulation {
namespace {

constexpr size_t kWordBytes = 4;

bool SameWarp(const Access& a, const Access& b) {
  return a.thread / kShadowWarp == b.thread / kShadowWarp;
}
bool SameThread(const Access& a, const Access& b) {
  return a.work == b.work && a.block == b.block && a.thread == b.thread;
}

}  // namespace

ShadowMemory::ShadowMemory(size_t bytes, Kind kind)
    : kind_(kind),
      // A word of zero bytes is Word().
      words_(static_cast<Word*>(
          std::calloc(std::max<size_t>(1, (bytes + kWordBytes - 1) / kWordBytes), sizeof(Word)))) {
  PROTOPAGE_CHECK(words_ != nullptr);
}

ShadowMemory::Result ShadowMemory::Note(size_t offset, size_t bytes, bool write,
                                        const Access& access, const WorkOrder& order) {
  Result result;
  for (const size_t end = offset + bytes; offset < end;) {
    const size_t word = offset / kWordBytes, begin = offset % kWordBytes;
    const size_t count = std::min(kWordBytes - begin, end - offset);
    const uint8_t bits = static_cast<uint8_t>(((1u << count) - 1) << begin);
    if (write) {
      NoteWrite(words_[word], bits, access, order, &result);
    } else {
      NoteRead(words_[word], bits, access, order, &result);
    }
    offset += count;
  }
  return result;
}

bool ShadowMemory::IsOfAnotherBlock(const Word& word, const Access& access) const {
  return kind_ == kShared && (word.write.work != access.work || word.write.block != access.block);
}

// Whether `before`, which the emulation ran first, comes first in every order.
bool ShadowMemory::Comes(const Access& before, const Access& after, const WorkOrder& order) const {
  if (before.work != after.work) return kind_ == kShared || order.IsBefore(before.work);
  if (before.block != after.block) return kind_ == kShared;
  return before.thread == after.thread || before.barriers < after.barriers ||
         (SameWarp(before, after) && before.warp_syncs < after.warp_syncs);
}

void ShadowMemory::NoteRead(Word& word, uint8_t bytes, const Access& access, const WorkOrder& order,
                            Result* result) const {
  Access& read = word.read;
  if (SameThread(read, access) && read.barriers == access.barriers &&
      read.warp_syncs == access.warp_syncs && word.read_bytes == bytes) {
    return;  // The same read again: nobody has written since.
  }
  if (kind_ != kPinned && (IsOfAnotherBlock(word, access) || (bytes & ~word.ever_written) != 0)) {
    result->finding = kUnwritten;
  } else if (word.write.work != 0 && (word.write_bytes & bytes) != 0 &&
             !Comes(word.write, access, order)) {
    *result = {kRace, word.write, true};
  }

  const bool same_work = read.work == access.work;
  if (read.work != 0 && !same_work && kind_ != kShared && !order.IsBefore(read.work)) {
    word.other_read = read.work;
  }
  // Whether the earlier readers can be forgotten: a write that comes after this read also comes
  // after theirs, or they read other bytes.
  bool forget = !same_work || (word.read_bytes & bytes) == 0;
  if (!forget && read.block != access.block) {
    forget = kind_ == kShared;
    if (!forget) word.readers = kBlocks;
  } else if (!forget && word.readers != kBlocks) {
    if (read.barriers < access.barriers) {
      forget = true;
    } else if (!SameWarp(read, access)) {
      word.readers = kBlock;
    } else if (word.readers != kBlock) {
      if (read.warp_syncs < access.warp_syncs) {
        forget = true;
      } else if (read.thread != access.thread) {
        word.readers = kWarp;
      }
    }
  }
  if (forget) {
    word.readers = kThread;
    word.read_bytes = bytes;
  } else {
    word.read_bytes &= bytes;
  }
  read = access;
}

void ShadowMemory::NoteWrite(Word& word, uint8_t bytes, const Access& access,
                             const WorkOrder& order, Result* result) const {
  const Access& read = word.read;
  if (word.write.work != 0 && (word.write_bytes & bytes) != 0 &&
      !Comes(word.write, access, order)) {
    *result = {kRace, word.write, true};
  } else if (word.other_read != 0 && !order.IsBefore(word.other_read)) {
    Access other;
    other.work = word.other_read;
    *result = {kRace, other, false};
  } else if (read.work != 0 && (word.read_bytes & bytes) != 0) {
    bool race = !Comes(read, access, order);
    if (read.work == access.work && word.readers != kThread) {
      const bool same_block = read.block == access.block;
      if (word.readers == kBlocks) {
        race = true;
      } else if (same_block && read.barriers == access.barriers) {
        race = word.readers == kBlock || !SameWarp(read, access) ||
               read.warp_syncs == access.warp_syncs;
      }
    }
    if (race) *result = {kRace, read, false};
  }

  if (IsOfAnotherBlock(word, access)) word.ever_written = 0;
  word.write_bytes = SameThread(word.write, access) ? word.write_bytes | bytes : bytes;
  word.ever_written |= bytes;
  word.write = access;
  // An access that comes after this write also comes after the reads before it.
  word.read = Access();
  word.read_bytes = 0;
  word.other_read = 0;
  word.readers = kThread;
}

}  // namespace emulation
}  // namespace protopage
