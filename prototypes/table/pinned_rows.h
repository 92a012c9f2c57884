// PinnedRows: a claim on rows of a cache. While it lives, the cache does not evict them.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(PinnedRows pinned, cache.Pin(ids));
//   PROTOPAGE_RETURN_IF_ERROR(cache.Read(ids, visit));  // Finds all rows in the cache.
//   pinned.Release();                                   // Or at the end of its life.
//
// A pin keeps no value: whoever reads a pinned row later sees what was written to it since.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_PINNED_ROWS_H_
#define PROTOPAGE_PROTOTYPES_TABLE_PINNED_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace protopage {

// What pins rows in frames of its memory. It must outlive the PinnedRows that it hands out.
class RowPinner {
 public:
  virtual ~RowPinner() = default;

 private:
  friend class PinnedRows;
  // Takes one pin from each of `frames`; a frame that stands in it twice loses two.
  virtual void Unpin(absl::Span<const int32_t> frames) = 0;
};

// Movable; what it is moved from holds no rows. Used by one thread at a time, not always the same.
class PinnedRows {
 public:
  PinnedRows() = default;  // Holds no rows.
  // Takes over one pin on each of `frames`.
  PinnedRows(RowPinner* pinner, std::vector<int32_t> frames)
      : pinner_(pinner), frames_(std::move(frames)) {}
  PinnedRows(PinnedRows&& other) noexcept
      : pinner_(other.pinner_), frames_(std::exchange(other.frames_, {})) {}
  PinnedRows& operator=(PinnedRows&& other) noexcept {
    if (this == &other) return *this;
    Release();
    pinner_ = other.pinner_;
    frames_ = std::exchange(other.frames_, {});
    return *this;
  }
  ~PinnedRows() { Release(); }

  // Gives the pins back now. The second time, nothing is left to give back.
  void Release() {
    if (!frames_.empty()) pinner_->Unpin(frames_);
    frames_.clear();
  }

  // The number of pins.
  size_t size() const { return frames_.size(); }
  bool empty() const { return frames_.empty(); }

 private:
  RowPinner* pinner_ = nullptr;
  std::vector<int32_t> frames_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_PINNED_ROWS_H_
