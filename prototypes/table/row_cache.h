// RowCache: the rows of a PagedTable that are in memory, under a byte budget.
//
//   RowCache cache(table.get(), {.cache_bytes = 64 << 20});
//   PROTOPAGE_RETURN_IF_ERROR(cache.Read(ids, [&](size_t i, const char* record) { ... copy out ... }));
//   PROTOPAGE_RETURN_IF_ERROR(cache.Write(ids, RowCache::kWhole, [&](size_t i, char* record) { ... fill ... }));
//   PROTOPAGE_RETURN_IF_ERROR(cache.Flush());
//
// Misses are read in sorted batches. Clean rows are evicted by the second-chance (CLOCK) rule. A
// thread of the cache writes dirty rows to the file once half of the frames are dirty, in sorted
// batches; a writer that runs ahead of it waits, so that dirty rows do not pile up. No call
// writes rows itself except Flush, SaveCopy and WriteColumn.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "protopage/prototypes/table/paged_table.h"
#include "protopage/prototypes/table/pinned_rows.h"

namespace protopage {

struct RowCacheOptions {
  int64_t cache_bytes = int64_t{64} << 20;  // Frames and what finds them.
  bool read_only = false;
};

struct RowCacheStats {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t capacity_rows = 0;
  int64_t cached_rows = 0;
  int64_t dirty_rows = 0;
  int64_t bytes = 0;  // Memory in use.
};

// Thread-safe. Read and Write are atomic with respect to each other; ReadColumn and WriteColumn
// are by row. The table must not be used around the cache.
class RowCache : private RowPinner {
 public:
  enum WriteKind {
    kWhole,  // `fill` writes every byte of the record: rows that are not cached are not read.
    kPart,   // `fill` gets the row as it is.
  };

  RowCache(PagedTable* table, const RowCacheOptions& options);
  // Dirty rows are lost. All PinnedRows must have released their pins before (checked).
  ~RowCache() override;
  RowCache(const RowCache&) = delete;
  RowCache& operator=(const RowCache&) = delete;

  // Calls visit(i, record of ids[i]) for each i; repeated ids are allowed. `visit`
  // must not call the cache.
  // Errors: the table's; ResourceExhausted when the cache cannot hold the rows.
  absl::Status Read(absl::Span<const int64_t> ids,
                    absl::FunctionRef<void(size_t i, const char* record)> visit);
  // Calls fill(i, record of ids[i]), ids distinct. Nothing is changed on error.
  absl::Status Write(absl::Span<const int64_t> ids, WriteKind kind,
                     absl::FunctionRef<void(size_t i, char* record)> fill);
  // Reads the rows that are missing and pins all of them: pinned rows are not evicted. Errors: as
  // Read; nothing is pinned then.
  absl::StatusOr<PinnedRows> Pin(absl::Span<const int64_t> ids);

  // Cells of one column, past the cache: see PagedTable. Cached rows are read, or updated.
  absl::Status ReadCells(int column, absl::Span<const int64_t> rows, void* cells);
  absl::Status ReadColumn(int column, int64_t first, int64_t count, void* cells);
  absl::Status ReadWritten(int column, int64_t first, int64_t count, uint8_t* written);
  absl::Status WriteColumn(int column, int64_t first, int64_t count, const void* cells);
  // The column's cells of all rows have the default value (zeros; not the first column).
  absl::Status ClearColumn(int column);

  // Writes all dirty rows, then flushes the table.
  absl::Status Flush();
  absl::Status SaveCopy(const std::string& path);

  int64_t num_frames() const { return num_frames_; }
  RowCacheStats stats() const;

 private:
  struct Frame {
    int64_t id = -1;
    int32_t users = 0;     // Calls that hold it, and pins.
    bool loading = false;  // The content is not there yet.
    bool failed = false;   // Loading failed: not in frame_of_ any more.
    bool reload = false;   // The file's row changed while it was loading.
    bool dirty = false;
    bool in_flight = false;  // A clean copy is on its way to the file.
    bool referenced = false;
  };
  using Lock = std::unique_lock<std::mutex>;

  char* Record(int32_t frame) const { return memory_.get() + frame * frame_bytes_; }
  bool Busy(const Frame& f) const { return f.dirty || f.in_flight; }

  // Holds frames for all `ids`. Those that were missing are read when `load`; else they are left
  // `loading`, for the caller to fill before it lets go of the lock.
  absl::Status Acquire(Lock& lock, absl::Span<const int64_t> ids, bool load,
                       std::vector<int32_t>* frames);
  void Abandon(absl::Span<const int32_t> frames, const absl::Status& status);
  // A frame without content, or -1 after a wait during which anything may have changed.
  absl::StatusOr<int32_t> TakeFrame(Lock& lock);
  absl::Status Load(Lock& lock, std::vector<int32_t> frames);
  void Release(int32_t frame);
  void Unpin(absl::Span<const int32_t> frames) override;
  void SetDirty(int32_t frame);

  void WriterLoop();
  std::vector<int64_t> CollectDirty(int64_t limit);
  // Writes those of the ascending `ids` that are dirty. Needs write_mutex_.
  absl::Status WriteBack(absl::Span<const int64_t> ids);
  absl::Status FlushRows();

  PagedTable* const table_;
  const bool read_only_;
  int64_t frame_bytes_ = 0;
  int64_t num_frames_ = 0;
  int64_t start_writing_ = 0;  // Dirty rows that wake the writer,
  int64_t stop_writing_ = 0;   // it stops at,
  int64_t max_dirty_ = 0;      // and that a call waits at.

  // Whoever writes to the file, or needs it to stand still. Before mutex_.
  std::mutex write_mutex_;
  // Shared by loads; exclusive in WriteColumn, which writes rows that may be loading. Before
  // mutex_.
  std::shared_mutex load_mutex_;

  mutable std::mutex mutex_;         // Guards what follows.
  std::condition_variable changed_;  // A frame was loaded, written or released.
  std::condition_variable wake_writer_;
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  std::unique_ptr<char, Free> memory_;
  std::vector<Frame> frames_;
  std::vector<int32_t> free_frames_;
  absl::flat_hash_map<int64_t, int32_t> frame_of_;
  int64_t hand_ = 0;
  int64_t writer_hand_ = 0;
  int64_t num_dirty_ = 0;
  int64_t num_in_flight_ = 0;
  int64_t num_pins_ = 0;
  absl::Status write_error_;  // Of the writer; reported by the next calls until a Flush succeeds.
  absl::Status load_error_;   // Of the last load that failed.
  int64_t hits_ = 0;
  int64_t misses_ = 0;
  bool stopping_ = false;
  bool writer_wanted_ = false;  // A call waits for a clean frame.
  std::thread writer_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_ROW_CACHE_H_
