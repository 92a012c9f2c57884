// RowCache: rows of a PagedTable in memory, under a budget in bytes.
//
//   RowCacheOptions options;
//   options.cache_bytes = 64 << 20;
//   RowCache cache(table.get(), options);
//   PROTOPAGE_RETURN_IF_ERROR(cache.Write(ids, RowCache::kWhole, [&](size_t i, char* record) {
//     std::memcpy(record, rows[i], bytes);
//   }));
//   PROTOPAGE_RETURN_IF_ERROR(cache.Read(ids, [&](size_t i, const char* record) {
//     std::memcpy(rows[i], record, bytes);
//   }));
//   PROTOPAGE_RETURN_IF_ERROR(cache.Flush());
//
// Missing rows are read in sorted batches. Clean rows are evicted by the second-chance (CLOCK)
// rule. A thread of the cache, the writer, writes dirty rows to the table in sorted batches. It
// starts once half of the frames are dirty; a Write that runs ahead of it waits. No other call
// writes rows to the table, except Flush, SaveCopy and WriteColumn.
//
// A call takes the frames of all its missing rows at once, or none. If frames are missing, it waits
// until calls that run have ended and dirty rows were written; such calls take turns. A call fails
// for lack of frames only when its rows and the pinned ones are more than the cache can hold.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/prototypes/table/pinned_rows.h"

namespace protopage {

struct RowCacheOptions {
  int64_t cache_bytes = int64_t{64} << 20;  // Of the frames and of the structures that find them.
  bool read_only = false;
};

struct RowCacheStats {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t capacity_rows = 0;
  int64_t cached_rows = 0;
  int64_t dirty_rows = 0;
  int64_t waiting_calls = 0;  // For frames.
  int64_t bytes = 0;          // Memory in use.
};

// Thread-safe. Read and Write are atomic with respect to each other; the calls for cells and
// columns are atomic for each row. The table must be used through the cache only.
class RowCache : private RowPinner {
 public:
  enum WriteKind {
    kWhole,  // `fill` writes every byte of the record, so a missing row is not read.
    kPart,   // `fill` gets the row as it is.
  };

  // `table` is not owned.
  RowCache(PagedTable* table, const RowCacheOptions& options);
  // Dirty rows are lost. All PinnedRows must have released their pins before (checked).
  ~RowCache() override;
  RowCache(const RowCache&) = delete;
  RowCache& operator=(const RowCache&) = delete;

  // The rows that a cache of `cache_bytes` can hold, if the table has as many.
  static int64_t RowsIn(int64_t cache_bytes, int64_t record_bytes);

  // Calls visit(i, record of ids[i]) for each i; repeated ids are allowed. `visit` must not call
  // the cache. Errors: the table's; ResourceExhausted (these rows and the pinned ones are more than
  // the cache can hold).
  absl::Status Read(absl::Span<const int64_t> ids,
                    absl::FunctionRef<void(size_t i, const char* record)> visit);
  // Calls fill(i, record of ids[i]) for each i; ids must be distinct. `fill` must not call the
  // cache. Errors: as Read, and those of the writer, ResourceExhausted when its thread could not be
  // started; no row has changed then.
  absl::Status Write(absl::Span<const int64_t> ids, WriteKind kind,
                     absl::FunctionRef<void(size_t i, char* record)> fill);
  // Reads the rows that are missing and pins all of them: pinned rows are not evicted. Errors: as
  // Read; nothing is pinned then.
  absl::StatusOr<PinnedRows> Pin(absl::Span<const int64_t> ids);

  // The calls of PagedTable for cells of one column, without reading rows into the cache: they need
  // no frames. Rows that are cached are read there, or updated there too.
  absl::Status ReadCells(int column, absl::Span<const int64_t> rows, void* cells);
  absl::Status ReadColumn(int column, int64_t first, int64_t count, void* cells);
  absl::Status ReadWritten(int column, int64_t first, int64_t count, uint8_t* written);
  absl::Status WriteColumn(int column, int64_t first, int64_t count, const void* cells);
  // Not for the first column.
  absl::Status ClearColumn(int column);

  // Writes all dirty rows, then flushes the table.
  absl::Status Flush();
  // Flushes, then copies the table to a file of its own (table_copy.h).
  absl::Status SaveCopy(const std::string& path);

  int64_t num_frames() const { return num_frames_; }
  RowCacheStats stats() const;

 private:
  // A frame holds one row. It is free, or in frame_of_, or failed.
  struct Frame {
    int64_t id = -1;
    int32_t users = 0;       // Calls that use the row, and pins. Above 0 it is not evicted.
    int32_t pins = 0;        // Those of the users that stay until they are released.
    bool loading = false;    // A call is reading the row, or is about to fill it.
    bool failed = false;     // Loading failed; the last user frees the frame.
    bool reload = false;     // The row changed in the table while it was being read.
    bool dirty = false;      // The frame is newer than the table.
    bool in_flight = false;  // A copy of the frame is being written to the table.
    bool referenced = false;
  };

  char* Record(int32_t frame) const { return memory_.get() + frame * frame_bytes_; }
  // Whether the table does not have the row yet.
  static bool IsUnwritten(const Frame& f) { return f.dirty || f.in_flight; }

  // Becomes a user of frames for all `ids`. With `load`, missing rows are read; else their frames
  // are `loading`, and the caller fills them before it releases the mutex. May release it in
  // between. On error, nothing is held.
  absl::Status Acquire(absl::Span<const int64_t> ids, bool load, std::vector<int32_t>* frames)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first part of Acquire: takes a frame for each of `ids`, without loading. `missing` are the
  // frames that are new, `found` the others. Waits for its turn if frames are lacking.
  absl::Status TakeFrames(absl::Span<const int64_t> ids, std::vector<int32_t>* frames,
                          std::vector<int32_t>* missing, std::vector<int32_t>* found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same without waiting: false, and nothing is held, if frames are lacking, or if
  // `only_found` and a row is missing. Sets *unwritten when rows that are not written yet stand in
  // the way.
  bool TryTakeFrames(absl::Span<const int64_t> ids, bool only_found, std::vector<int32_t>* frames,
                     std::vector<int32_t>* missing, std::vector<int32_t>* found, bool* unwritten)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // ResourceExhausted when frames for all `ids` would be lacking if nothing but pins was held.
  absl::Status CheckRoom(absl::Span<const int64_t> ids) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A frame without content; -1 if there is none. *unwritten as in TryTakeFrames.
  int32_t TakeFrame(bool* unwritten) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A frame whose row can be evicted, now evicted; -1 if there is none.
  int32_t Evict(bool* unwritten) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads the rows of `frames`, which are loading. Releases the mutex while it reads.
  absl::Status Load(std::vector<int32_t> frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those of `frames` that are still loading have failed, with `status`.
  void Abandon(absl::Span<const int32_t> frames, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(int32_t frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(absl::Span<const int32_t> frames) override;
  void SetDirty(int32_t frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool WriterHasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriterLoop();
  // Up to `limit` dirty rows, ascending.
  std::vector<int64_t> CollectDirty(int64_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes those of the ascending `ids` that are dirty.
  absl::Status WriteBack(absl::Span<const int64_t> ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status FlushRows() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  PagedTable* const table_;
  const bool read_only_;
  int64_t frame_bytes_ = 0;
  int64_t num_frames_ = 0;
  // Watermarks on the number of dirty rows: the writer wakes at start_writing_ and stops at
  // stop_writing_; Write waits above max_dirty_.
  int64_t start_writing_ = 0;
  int64_t stop_writing_ = 0;
  int64_t max_dirty_ = 0;

  // Held while writing to the table, or while the table must not change. Held across I/O: that is
  // what it orders.
  Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(load_mutex_, mutex_);
  // Held as a reader while rows are read from the table into frames; as a writer while cells of a
  // column are written to the table, some of which may be rows that are being read.
  SharedMutex load_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);

  // Never held across I/O. Guards the content of frames too.
  mutable Mutex mutex_;
  CondVar changed_;  // A frame was loaded, written or released.
  CondVar wake_writer_;
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(char* p) const { operator delete(p, kAlignment); }
  };
  std::unique_ptr<char, Free> memory_;
  std::vector<Frame> frames_ ABSL_GUARDED_BY(mutex_);
  std::vector<int32_t> free_frames_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<int64_t, int32_t> frame_of_ ABSL_GUARDED_BY(mutex_);
  int64_t hand_ ABSL_GUARDED_BY(mutex_) = 0;         // The next frame that eviction looks at.
  int64_t writer_hand_ ABSL_GUARDED_BY(mutex_) = 0;  // The last frame that the writer looked at.
  int64_t num_dirty_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_pins_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_pinned_frames_ ABSL_GUARDED_BY(mutex_) = 0;
  // Calls that wait for frames draw numbers, and are served in that order.
  int64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t served_number_ ABSL_GUARDED_BY(mutex_) = 0;
  // The writer's; reported by the next calls until a Flush succeeds.
  absl::Status write_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status load_error_ ABSL_GUARDED_BY(mutex_);  // Of the last load that failed.
  int64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t misses_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool writer_wanted_ ABSL_GUARDED_BY(mutex_) = false;  // A call waits for a clean frame.
  absl::Status writer_started_;
  std::thread writer_;  // Last: it uses the others.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_
