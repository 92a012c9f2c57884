// LogIndex: what a TableLog has in memory. It knows the segments, the newest place of each row that
// the log holds, and the newest clearing of each column.
//
//   index.AddRows(/*table=*/0, rows, place, record_bytes);  // After they were appended.
//   const LogLookup lookup = index.Find(/*table=*/0, rows, &found);
//   PROTOPAGE_RETURN_IF_ERROR(
//       ReadLogRecords(lookup.segments, 0, lookup.bytes, lookup.wanted, rows, records));
//
// No call does I/O, apart from LoadSegment.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_LOG_INDEX_H_
#define PROTOPAGE_PROTOTYPES_TABLE_LOG_INDEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/log_segment.h"
#include "protopage/prototypes/table/logged_table.h"

namespace protopage {

// A slot of the hash map of places takes 17 bytes, and the map's lowest load is 7/16, after it
// doubled.
constexpr int64_t kLogIndexBytesPerRow = 40;

// What a log has of a row.
struct LogFound {
  bool in_log = false;   // The log has a record of it; else the record is the main file's.
  uint32_t cleared = 0;  // Bit c: column c has its default value, whatever the record says.
};

// Where the records of a lookup lie: the arguments of ReadLogRecords. When a merge removes the
// segments' files in the meantime, that is NotFound, and another lookup finds the rows elsewhere.
struct LogLookup {
  int64_t bytes = 0;  // Of a record.
  std::vector<std::shared_ptr<LogSegment>> segments;
  std::vector<std::pair<LogPlace, size_t>> wanted;  // (place, position in the rows), ascending.
};

struct TableLogStats {
  int64_t segments = 0;  // Files, including the one that is being written.
  int64_t bytes = 0;     // Of these.
  int64_t index_rows = 0;
  int64_t index_bytes = 0;
  int64_t rows_appended = 0;  // Since opened.
  int64_t rows_merged = 0;    // Since opened, into main files.
};

// Thread-safe.
class LogIndex {
 public:
  // --- Loading. `head` and `tables`, the bits of the tables that it covers, are as a segment's
  // header or commit record has them; `gap` says why the committed segments begin where they do.
  void SetHead(const LogPoint& head, uint64_t tables);
  void SetGap(std::string gap);
  // Adds the newest committed segment and the places in its directory. Errors: DataLoss.
  absl::Status LoadSegment(std::shared_ptr<LogSegment> segment);

  // --- Tables ---

  LogPoint head() const;
  uint64_t head_tables() const;
  // The salt of the segment that holds the newest checkpoint; 0 when it was merged.
  uint64_t HeadSalt() const;
  // Whether the newest checkpoint covers the table.
  bool HasTable(int table) const;
  // As TableLog::Attach; `directory` is for messages.
  absl::Status Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                      const std::string& directory, bool* in_place);
  void Detach(int table);
  // The bytes of a record of an attached table.
  int64_t RecordBytes(int table) const;
  // The attached tables that are written in place, null elsewhere.
  std::array<LoggedTable*, kMaxLogTables> TablesInPlace() const;

  // --- Appending ---

  // The segment that records are appended to from now on.
  void SetCurrent(std::shared_ptr<LogSegment> segment);
  // Rows were appended to the current segment, at `first` and every `record_bytes` after it.
  void AddRows(int table, absl::Span<const int64_t> rows, LogPlace first, int64_t record_bytes);
  // A column was cleared by a record of `record_bytes` at `place`.
  void AddClear(int table, int column, LogPlace place, int64_t record_bytes);
  // The directory of the current segment.
  std::vector<LogDirectoryEntry> CurrentDirectory() const;
  // The current segment was committed: it is `head` now, of the tables in `tables`. Tables written
  // in place are so no longer.
  void Commit(const LogPoint& head, uint64_t tables);

  // --- Lookups ---

  LogLookup Find(int table, absl::Span<const int64_t> rows, std::vector<LogFound>* found) const;
  // False: the log has no row of the table, and cleared none of its columns.
  bool Touches(int table) const;
  // All rows of the table that are in the log, ascending. Bit c of the result: column c was cleared
  // in all other rows.
  uint32_t Overlay(int table, std::vector<int64_t>* rows) const;

  // --- Merging ---

  // No checkpoint before `oldest` is needed any more.
  void Retire(int64_t oldest);
  // Whether there are `merge_segments` retired ones, or they have `merge_bytes`, or so many rows
  // that these take a quarter of `index_bytes`.
  bool MergeIsDue(int64_t merge_segments, int64_t merge_bytes, int64_t index_bytes) const;
  std::vector<std::shared_ptr<LogSegment>> RetiredSegments() const;
  // The table, null when it is not attached, and the point that its main file is at.
  LoggedTable* GetTable(int table, LogPoint* main) const;
  // The last segment that is merged into the main files of all tables that the head covers; 0 while
  // one of them is not attached.
  int64_t MergedSequence() const;
  // The table's main file is at `point` now: clearings up to there are in the file.
  void SetMain(int table, const LogPoint& point);
  // Forgets the places of `rows` up to the end of segment `sequence`.
  void EraseRows(int table, absl::Span<const int64_t> rows, int64_t sequence);
  // Forgets clearings up to the end of segment `sequence`.
  void EraseClears(int table, int64_t sequence);
  // Forgets the segments up to `sequence`.
  void EraseSegments(int64_t sequence);
  void CountMerged(int64_t rows);

  // As TableLog::wants_checkpoint.
  bool WantsCheckpoint(int64_t index_bytes, int64_t segment_bytes) const;
  TableLogStats stats() const;

 private:
  struct Table {
    LoggedTable* logged = nullptr;
    LogPoint main;
    bool in_place = false;
    absl::flat_hash_map<int64_t, LogPlace> places;
    // Cells of records before this place are cleared.
    std::array<LogPlace, kMaxLogColumns> cleared = {};
  };

  bool Covers(int table) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t NumRows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Acquired after all other mutexes: under it, nothing is locked, and no file is read or written.
  mutable Mutex mutex_;
  std::array<Table, kMaxLogTables> tables_ ABSL_GUARDED_BY(mutex_);
  // Committed, with ascending sequences, without gaps.
  std::deque<std::shared_ptr<LogSegment>> segments_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<LogSegment> current_ ABSL_GUARDED_BY(mutex_);  // Null when read-only.
  int64_t current_rows_ ABSL_GUARDED_BY(mutex_) = 0;   // Rows whose newest place is in current_.
  int64_t current_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // As of the last append.
  LogPoint head_ ABSL_GUARDED_BY(mutex_) = {0, -1};
  uint64_t head_tables_ ABSL_GUARDED_BY(mutex_) = 0;  // Bit t: head_ covers table t.
  std::string gap_ ABSL_GUARDED_BY(mutex_);
  int64_t retired_ ABSL_GUARDED_BY(mutex_) = 0;  // No checkpoint needs segments up to this one.
  int64_t rows_appended_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t rows_merged_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_LOG_INDEX_H_
