// TableLog: what changed in a run's paged tables since the oldest checkpoint that is kept.
//
// Tables that belong to a log are not written in place. Rows go to the end of a *segment*, one file
// a checkpoint interval; an index in memory finds the newest copy of a row, and reads lay it over
// the table's main file. A commit makes a segment durable under a checkpoint's number; when no
// checkpoint before a number is needed any more, the segments up to it are merged into the main
// files, in the order of rows, and removed. So the main files equal an old checkpoint, and every
// checkpoint that is kept can be opened, whatever was running when the power went.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto log, TableLog::Create(fs, "run/log", {}));
//   PrototypeStoreOptions options;
//   options.log = log.get();
//   PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Create("run/prototypes.h5", spec, options));
//   ... steps ...
//   PROTOPAGE_RETURN_IF_ERROR(store->Flush());    // Dirty rows are in the segment.
//   PROTOPAGE_RETURN_IF_ERROR(log->Commit(120));  // Durable. Now write the rest of checkpoint 120, mark it done.
//   ... remove checkpoints older than 100 ...
//   PROTOPAGE_RETURN_IF_ERROR(log->Retire(100));
//
// After a crash, with the newest checkpoint that is done:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto log, TableLog::Open(fs, "run/log", /*checkpoint=*/120, {}));
//   options.log = log.get();
//   PROTOPAGE_ASSIGN_OR_RETURN(auto store, PrototypeStore::Open("run/prototypes.h5", options));
//
// A table that no commit covers yet is written in place, as filling it row by row through the log
// would cost twice: until its first commit it must not be relied on. Files: see FORMAT.md.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"

namespace protopage {

struct TableLogOptions {
  // Bounds on the index, at 40 bytes a row, and on the segment that is being written. Nothing fails
  // above them, but wants_checkpoint() becomes true.
  int64_t index_bytes = int64_t{64} << 20;
  int64_t segment_bytes = int64_t{4} << 30;
  // Segments that no checkpoint needs are merged once they have this many bytes together: a row
  // that is in several of them is then written once.
  int64_t merge_bytes = int64_t{1} << 30;
  // Retire merges in a thread of the log, else before it returns.
  bool background = true;
};

struct TableLogStats {
  int64_t segments = 0;  // Files, with the one being written.
  int64_t bytes = 0;     // Of these.
  int64_t index_rows = 0;
  int64_t index_bytes = 0;
  int64_t rows_appended = 0;  // Since opened.
  int64_t rows_merged = 0;    // Since opened, into main files.
};

// A place in the history of a log: all up to the end of segment `sequence`, which is the content
// of checkpoint `checkpoint`. Sequence 0 is before the first segment.
struct LogPoint {
  int64_t sequence = 0;
  int64_t checkpoint = 0;
};

// What the log asks of a table. Called by one thread at a time; calls that read and append may run
// beside them, but never for rows that ApplyRows gets and the log does not have.
class LoggedTable {
 public:
  virtual ~LoggedTable() = default;
  virtual const std::string& path() const = 0;
  virtual int64_t record_bytes() const = 0;
  // What was written in place is durable and marked as `point`; from now on rows go to the log.
  virtual absl::Status FinishInPlace(const LogPoint& point) = 0;
  // A merge: durable mark that the main file is on its way to segment `sequence`; column cells
  // of all rows to their default; rows, ascending, with bit c of cleared[i] where column c of
  // row i has its default value; durable mark of the new point.
  virtual absl::Status BeginMerge(int64_t sequence) = 0;
  virtual absl::Status MergeClear(int column) = 0;
  virtual absl::Status MergeRows(absl::Span<const int64_t> rows,
                                 absl::Span<const char* const> records,
                                 absl::Span<const uint32_t> cleared) = 0;
  virtual absl::Status EndMerge(const LogPoint& point) = 0;
};

// Thread-safe. Outlives its tables.
class TableLog {
 public:
  static constexpr int kMaxTables = 8;
  static constexpr int kMaxColumns = 32;

  // An empty log in `directory`, which is made when missing; segments of an earlier log are
  // removed. Errors: FailedPrecondition (another process has the log open for writing), the file
  // system's.
  static absl::StatusOr<std::unique_ptr<TableLog>> Create(FileSystem* file_system,
                                                          const std::string& directory,
                                                          const TableLogOptions& options);
  // The log as of `checkpoint`; all later segments are removed, committed or not.
  // Errors: NotFound (no such checkpoint in the log), DataLoss (damage: file and part are named),
  // FailedPrecondition (as Create; a newer format).
  static absl::StatusOr<std::unique_ptr<TableLog>> Open(FileSystem* file_system,
                                                        const std::string& directory,
                                                        int64_t checkpoint,
                                                        const TableLogOptions& options);
  // For tables opened read-only, while a run may go on writing: takes no lock, changes nothing.
  // When the writer retires `checkpoint`, reads of the tables become Aborted.
  static absl::StatusOr<std::unique_ptr<TableLog>> OpenReadOnly(FileSystem* file_system,
                                                                const std::string& directory,
                                                                int64_t checkpoint);
  ~TableLog();  // What was not committed is lost.
  TableLog(const TableLog&) = delete;
  TableLog& operator=(const TableLog&) = delete;

  const std::string& directory() const { return directory_; }
  // The newest checkpoint; sequence 0 when there is none yet.
  LogPoint head() const;
  // Whether the newest checkpoint covers the table.
  bool HasTable(int table) const;

  // Ends the segment: all that was appended, and the content of tables written in place, is
  // checkpoint `checkpoint`, above all before it. Nothing may write to the tables meanwhile, and
  // their caches were flushed. Errors: InvalidArgument (number); the file system's. After a failed
  // sync, and when the tables written in place could not be finished, the log takes no more writes:
  // what is on the device is unknown, so open the last checkpoint again.
  absl::Status Commit(int64_t checkpoint);
  // Checkpoints below `oldest` will not be opened any more; see that they are durably gone first.
  // Errors: of this merge, or of the last one in the background; called again it is tried again.
  absl::Status Retire(int64_t oldest);
  // As Retire, and merges all that can be, however little it is, before it returns.
  absl::Status RetireNow(int64_t oldest);
  // Training should make a checkpoint soon (and keep fewer), as the index or the segment has
  // outgrown its bound: the rows of the current segment are more than index_bytes holds, shared
  // with the committed segments, or its bytes more than segment_bytes.
  bool wants_checkpoint() const;

  TableLogStats stats() const;

  // --- For PagedTable ---

  // `main` is the point that the table's main file is at and `merging` the sequence that an
  // unfinished merge into it was for (0: none). *in_place tells whether it is to be written in
  // place. Errors: DataLoss, FailedPrecondition (the file is of another point than the log can
  // serve).
  absl::Status Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                      bool* in_place);
  void Detach(int table);

  // `records` of `rows`, of the table's record_bytes() each.
  absl::Status Append(int table, absl::Span<const int64_t> rows,
                      absl::Span<const char* const> records);
  absl::Status AppendClear(int table, int column);

  struct Found {
    bool in_log = false;   // The record was filled in; else it is the main file's.
    uint32_t cleared = 0;  // Bit c: column c has its default value whatever the bytes are.
  };
  // Errors: DataLoss (segment, row).
  absl::Status Read(int table, absl::Span<const int64_t> rows, absl::Span<char* const> records,
                    std::vector<Found>* found);
  // False: no row of the table is in the log, and no column was cleared.
  bool Touches(int table) const;
  // All rows of the table that are in the log, ascending; bit c of the result: column c of the
  // other rows has its default value.
  uint32_t Overlay(int table, std::vector<int64_t>* rows) const;
  // No merge runs while the result lives.
  std::unique_lock<std::mutex> PauseMerges() { return std::unique_lock<std::mutex>(merge_mutex_); }

 private:
  struct Segment;
  struct Table;
  // Sequence << 40 | offset in the segment; larger is newer, 0 is none.
  using Place = uint64_t;

  TableLog(FileSystem* file_system, std::string directory, const TableLogOptions& options);

  std::string SegmentPath(int64_t sequence) const;
  absl::Status LockDirectory();
  absl::StatusOr<std::vector<int64_t>> ListSegments() const;
  absl::Status Load(int64_t checkpoint, bool read_only);
  absl::StatusOr<std::shared_ptr<Segment>> OpenSegment(int64_t sequence, bool read_only);
  absl::Status LoadIndex(const Segment& segment);
  absl::Status StartSegment(int64_t sequence);  // Needs append_mutex_.
  // Records at `wanted`, (place, position in `rows` and `records`), ascending; all places are in
  // `segments`.
  static absl::Status ReadRecords(int table, int64_t bytes,
                                  absl::Span<const std::shared_ptr<Segment>> segments,
                                  absl::Span<const std::pair<Place, size_t>> wanted,
                                  absl::Span<const int64_t> rows, absl::Span<char* const> records);
  // The directory of the current segment and its commit record.
  std::vector<char> MakeTail(int64_t checkpoint, uint64_t tables);
  absl::Status Poison(const absl::Status& status);
  void SetOldest(int64_t oldest);
  bool MergeIsDue(bool any_size) const;  // Needs index_mutex_.
  absl::Status MergeRetired();           // Needs merge_mutex_.
  absl::Status MergeTable(int table, absl::Span<const std::shared_ptr<Segment>> segments);
  absl::Status MergeRows(int table, LoggedTable* logged, const LogPoint& point,
                         absl::Span<const std::shared_ptr<Segment>> segments,
                         absl::Span<const std::pair<int64_t, Place>> rows,
                         absl::Span<const Place> cleared);
  void MergeLoop();

  FileSystem* const file_system_;
  const std::string directory_;
  const TableLogOptions options_;
  std::unique_ptr<File> lock_;

  // Merges, one at a time. Before append_mutex_.
  std::mutex merge_mutex_;

  // Appends and commits. Before index_mutex_.
  std::mutex append_mutex_;
  bool tail_dirty_ = false;  // The segment's file may go on after `end`.
  absl::Status poison_;

  mutable std::mutex index_mutex_;  // Guards what follows.
  std::vector<Table> tables_;
  std::deque<std::shared_ptr<Segment>> segments_;  // Committed, ascending.
  std::shared_ptr<Segment> current_;               // Null when read-only.
  LogPoint head_;
  uint64_t head_tables_ = 0;  // Bits of the tables that `head_` covers.
  int64_t current_rows_ = 0;  // Rows whose newest place is in current_.
  std::string gap_;           // Why segments_ begins where it does.
  int64_t retired_ = 0;       // Segments up to this are needed by no checkpoint.
  TableLogStats stats_;
  absl::Status merge_error_;
  bool merge_wanted_ = false;
  bool stopping_ = false;
  std::condition_variable wake_merger_;
  std::thread merger_;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_
