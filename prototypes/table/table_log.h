// TableLog: the changes to a run's paged tables since the oldest checkpoint that is kept.
//
// Tables that belong to a log are not written in place. Rows are appended to a *segment*, one file
// for each interval between checkpoints. An index in memory finds the newest copy of a row, and
// reads prefer it to the one in the table's main file. A commit makes a segment durable under the
// number of a checkpoint. Once no checkpoint before some number is needed, the segments up to that
// number are merged into the main files, in the order of rows, and removed. So the main files
// always equal an old checkpoint, and every checkpoint that is kept can be opened, whatever was
// running when the power failed.
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto log, TableLog::Create(fs, directory + "/log", {}));
//   PrototypeStoreOptions options;
//   options.log = log.get();
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       auto store, PrototypeStore::Create(directory + "/prototypes.h5", spec, options));
//   ...  // Steps.
//   PROTOPAGE_RETURN_IF_ERROR(store->Flush());    // Dirty rows are in the segment.
//   PROTOPAGE_RETURN_IF_ERROR(log->Commit(120));  // And durable.
//   ...  // Write the rest of checkpoint 120 and mark it done; remove checkpoints before 100.
//   PROTOPAGE_RETURN_IF_ERROR(log->Retire(100));
//
// After a crash, open the newest checkpoint that is done:
//
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       auto log, TableLog::Open(fs, directory + "/log", /*checkpoint=*/120, {}));
//   PrototypeStoreOptions options;
//   options.log = log.get();
//   PROTOPAGE_ASSIGN_OR_RETURN(
//       auto store, PrototypeStore::Open(directory + "/prototypes.h5", options));
//
// A table that no commit covers yet is written in place, as filling it row by row through the log
// would cost twice. Until its first commit, nothing of it can be relied on after a crash. FORMAT.md
// describes the files.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_
#define PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/log_files.h"
#include "protopage/prototypes/table/log_index.h"
#include "protopage/prototypes/table/log_merger.h"
#include "protopage/prototypes/table/log_segment.h"
#include "protopage/prototypes/table/logged_table.h"

namespace protopage {

struct TableLogOptions {
  // Bounds on the index, at 40 bytes a row, and on the segment that is being written. Nothing fails
  // above them, but wants_checkpoint() becomes true.
  int64_t index_bytes = int64_t{64} << 20;
  int64_t segment_bytes = int64_t{4} << 30;
  // Segments that no checkpoint needs are merged once they have this many bytes together: a row
  // that is in several of them is then written once. So are that many segments, of any size.
  int64_t merge_bytes = int64_t{1} << 30;
  int64_t merge_segments = 16;
  // The most segments whose files stay open, in addition to the one that is written.
  int64_t open_segments = 8;
  // Retire leaves merges to a thread of the log; else it merges before it returns.
  bool background = true;
  // The random number of a new segment, for tests; null takes the system's.
  std::function<uint64_t()> nonce;
};

// Thread-safe. Outlives its tables.
class TableLog {
 public:
  // An empty log in `directory`, which is created if it is missing; segments of an earlier log are
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
  // When the writer retires `checkpoint`, reads of the tables become Aborted. So may they when it
  // merges segments of earlier ones while there are many; `checkpoint` can be opened again then. At
  // most 32 segments stay open, those that are merged first.
  static absl::StatusOr<std::unique_ptr<TableLog>> OpenReadOnly(FileSystem* file_system,
                                                                const std::string& directory,
                                                                int64_t checkpoint);
  // Removes the log in `directory`, which nobody has open, and the directory unless files of others
  // are in it. Errors: the file system's.
  static absl::Status Remove(FileSystem* file_system, const std::string& directory);
  // Appends that were not committed are lost.
  ~TableLog() = default;
  TableLog(const TableLog&) = delete;
  TableLog& operator=(const TableLog&) = delete;

  const std::string& directory() const { return directory_; }
  // The newest checkpoint; sequence 0 when there is none yet.
  LogPoint head() const { return index_.head(); }
  // Tells the segment that holds the newest checkpoint from those of other logs, and of other
  // attempts at the same checkpoint; 0 when it was merged into the tables.
  uint64_t head_salt() const { return index_.HeadSalt(); }
  // Whether the newest checkpoint covers the table.
  bool HasTable(int table) const { return index_.HasTable(table); }

  // Ends the segment: all appends, and the content of tables written in place, become checkpoint
  // `checkpoint`, which is above all earlier ones. Nothing may write to the tables meanwhile, and
  // their caches were flushed. Errors: InvalidArgument (number); the file system's. After a failed
  // sync, or when a table written in place could not be finished, nobody knows what is on the
  // device: the log refuses further writes, and its last checkpoint must be opened again.
  absl::Status Commit(int64_t checkpoint);
  // Checkpoints below `oldest` will not be opened again; make sure that their removal is durable
  // first. Errors: of this merge, or of the last one in the background; the next call repeats it.
  absl::Status Retire(int64_t oldest);
  // As Retire, and merges all retired segments before it returns, however small they are.
  absl::Status RetireNow(int64_t oldest);
  // Training should make a checkpoint soon (and keep fewer), as the index or the segment has
  // outgrown its bound: the rows of the current segment are more than index_bytes holds, shared
  // with the committed segments, or its bytes more than segment_bytes.
  bool wants_checkpoint() const {
    return index_.WantsCheckpoint(options_.index_bytes, options_.segment_bytes);
  }

  TableLogStats stats() const { return index_.stats(); }

  // --- For PagedTable ---

  // `main` is the point of the table's main file, and `merging` the sequence that an unfinished
  // merge into it was for (0: none). Sets *in_place to whether the table is to be written in place.
  // Errors: DataLoss, FailedPrecondition (the log cannot bring a file of this point to its head).
  absl::Status Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                      bool* in_place);
  void Detach(int table);

  // Appends `records` of `rows`, of the table's record_bytes() each.
  absl::Status Append(int table, absl::Span<const int64_t> rows,
                      absl::Span<const char* const> records);
  absl::Status AppendClear(int table, int column);

  // Copies the records that are in the log; `found` tells which, and which columns were cleared.
  // Errors: DataLoss (segment, row).
  absl::Status Read(int table, absl::Span<const int64_t> rows, absl::Span<char* const> records,
                    std::vector<LogFound>* found);
  // False: no row of the table is in the log, and no column was cleared.
  bool Touches(int table) const { return index_.Touches(table); }
  // All rows of the table that are in the log, ascending; bit c of the result: column c of the
  // other rows has its default value.
  uint32_t Overlay(int table, std::vector<int64_t>* rows) const {
    return index_.Overlay(table, rows);
  }
  // No merge runs while it is held.
  Mutex& merge_mutex() ABSL_LOCK_RETURNED(merger_.merge_mutex()) { return merger_.merge_mutex(); }

 private:
  TableLog(FileSystem* file_system, std::string directory, const TableLogOptions& options,
           bool read_only = false);

  absl::Status LockDirectory();
  absl::Status Load(int64_t checkpoint);
  // Opens the segments up to the one that holds `checkpoint`, null in place of damaged ones, and
  // sets the index's head. `damage` is what was found on the way.
  absl::StatusOr<std::vector<std::shared_ptr<LogSegment>>> OpenSegments(
      absl::Span<const int64_t> sequences, int64_t checkpoint, absl::Status* damage);
  // Loads the unbroken run of `segments` that ends at the head into the index.
  absl::Status LoadRun(absl::Span<const std::shared_ptr<LogSegment>> segments,
                       const absl::Status& damage);
  absl::Status StartSegment(int64_t sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mutex_);
  absl::Status Poison(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mutex_);

  FileSystem* const file_system_;
  const std::string directory_;
  const TableLogOptions options_;
  std::unique_ptr<File> lock_;  // Null when read-only.
  const bool read_only_;
  const std::shared_ptr<LogFiles> files_;
  LogIndex index_;

  // Held by appends and commits, and across their I/O: one record follows another in the file.
  // Acquired before the mutex of index_.
  Mutex append_mutex_;
  std::shared_ptr<LogSegment> current_ ABSL_GUARDED_BY(append_mutex_);  // Null when read-only.
  absl::Status poison_ ABSL_GUARDED_BY(append_mutex_);  // Why no more writes are accepted.

  LogMerger merger_;  // Last: its thread uses the index.
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_TABLE_LOG_H_
