#include "protopage/model/cuda/emulation/access_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace protopage {
namespace emulation {
namespace {

const char* Name(ShadowMemory::Kind kind) {
  switch (kind) {
    case ShadowMemory::kShared:
      return "shared memory";
    case ShadowMemory::kPinned:
      return "pinned memory";
    case ShadowMemory::kDevice:
      break;
  }
  return "device memory";
}

}  // namespace

void Merge(const StreamClock& from, StreamClock* to) {
  for (const auto& [stream, position] : from) {
    int64_t& mine = (*to)[stream];
    mine = std::max(mine, position);
  }
}

AccessCheck& AccessCheck::The() {
  static AccessCheck* const check = new AccessCheck();
  return *check;
}

void AccessCheck::Allocate(const void* pointer, size_t bytes, ShadowMemory::Kind kind) {
  if (!on_ || bytes == 0) return;
  const char* const begin = static_cast<const char*>(pointer);
  arrays_.emplace(begin + bytes, Array{begin, begin + bytes, ShadowMemory(bytes, kind)});
}

void AccessCheck::Free(const void* pointer) {
  if (!on_) return;
  const Array* const array = Find(pointer, 1);
  found_ = {};
  if (array == nullptr) return;
  const char* const end = array->end;
  arrays_.erase(end);
}

void AccessCheck::Begin(const WorkTime& time) {
  if (!on_) return;
  moments_.push_back({time.stream, time.position});
  after_ = time.after;
}

bool AccessCheck::IsBefore(uint32_t earlier_work) const {
  const Moment& earlier = moments_[earlier_work - 1];
  if (earlier.stream == moments_.back().stream) return true;
  const auto found = after_.find(earlier.stream);
  return found != after_.end() && found->second >= earlier.position;
}

AccessCheck::Array* AccessCheck::Find(const void* pointer, size_t bytes) {
  const char* const begin = static_cast<const char*>(pointer);
  const auto holds = [&](const Array& array) {
    return array.begin <= begin && begin + bytes <= array.end;
  };
  Array*& before = found_[(reinterpret_cast<uintptr_t>(pointer) >> 10) % found_.size()];
  if (before != nullptr && holds(*before)) return before;
  // The first array that ends after `begin`.
  const auto found = arrays_.upper_bound(begin);
  if (found == arrays_.end() || !holds(found->second)) return nullptr;
  before = &found->second;
  return before;
}

std::optional<std::string> AccessCheck::Note(const void* pointer, size_t bytes, bool write) {
  Access access;
  access.work = work();
  return Note(pointer, bytes, write, access);
}

std::optional<std::string> AccessCheck::Note(const void* pointer, size_t bytes, bool write,
                                             const Access& access) {
  if (!on_ || bytes == 0) return std::nullopt;
  Array* const array = Find(pointer, bytes);
  if (array == nullptr) return std::nullopt;
  const size_t offset = static_cast<size_t>(static_cast<const char*>(pointer) - array->begin);
  const ShadowMemory::Result result = array->shadow.Note(offset, bytes, write, access, *this);
  if (result.finding == ShadowMemory::kNone) return std::nullopt;
  const std::string what = absl::StrFormat("%s %d bytes at byte %d of %d bytes of %s, which ",
                                           write ? "writes" : "reads", bytes, offset,
                                           array->end - array->begin, Name(array->shadow.kind()));
  if (result.finding == ShadowMemory::kUnwritten) return absl::StrCat(what, "was never written");
  const char* const did = result.other_wrote ? "wrote" : "read";
  const Access& other = result.other;
  if (other.work != access.work) {
    return absl::StrCat(what, "work of stream ", moments_[other.work - 1].stream, " ", did,
                        ", and neither waits for the other");
  }
  if (other.block != access.block) {
    return absl::StrCat(what, "block ", other.block, " ", did, " too");
  }
  return absl::StrCat(what, "thread ", other.thread, " of the block ", did,
                      ", with no barrier between");
}

}  // namespace emulation
}  // namespace protopage
