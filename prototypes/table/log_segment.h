// LogSegment: one file of a TableLog.
//
// A segment is a header, then records, then, once it is committed, a directory of the newest record
// of each row and a commit record that names the checkpoint. FORMAT.md describes the bytes.
//
//   const auto files = std::make_shared<LogFiles>(fs, directory, LogFiles::kUsedLast, 16);
//   PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t nonce, RandomNonce());
//   PROTOPAGE_ASSIGN_OR_RETURN(auto segment, LogSegment::Create(files, 1, parent, nonce));
//   PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace place,
//                              segment->AppendRows(/*table=*/0, {7}, {record}, record_bytes));
//   PROTOPAGE_RETURN_IF_ERROR(segment->WriteCommit(
//       /*checkpoint=*/120, /*tables=*/1, {LogDirectoryEntry::Row(0, 7, place)}));
//   PROTOPAGE_RETURN_IF_ERROR(segment->SyncCommit());
#ifndef PROTOPAGE_PROTOTYPES_TABLE_LOG_SEGMENT_H_
#define PROTOPAGE_PROTOTYPES_TABLE_LOG_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/log_files.h"

namespace protopage {

constexpr int kMaxLogTables = 8;
constexpr int kMaxLogColumns = 32;

// Where a record lies in a log: its segment's sequence << 40 | its offset in the segment. A larger
// place is newer; 0 is none.
using LogPlace = uint64_t;

constexpr int kLogOffsetBits = 40;
constexpr int64_t kMaxSegmentBytes = int64_t{1} << kLogOffsetBits;
constexpr int64_t kMaxLogSequence = (int64_t{1} << (63 - kLogOffsetBits)) - 1;

constexpr LogPlace MakeLogPlace(int64_t sequence, int64_t offset) {
  return static_cast<LogPlace>(sequence) << kLogOffsetBits | static_cast<LogPlace>(offset);
}
constexpr int64_t SequenceOf(LogPlace place) {
  return static_cast<int64_t>(place >> kLogOffsetBits);
}
constexpr int64_t OffsetOf(LogPlace place) {
  return static_cast<int64_t>(place & (kMaxSegmentBytes - 1));
}

// An entry of a segment's directory, as it lies in the file.
struct LogDirectoryEntry {
  enum Kind : uint32_t { kClear = 0, kRow = 1 };

  uint32_t table;
  Kind kind;
  int64_t row;  // Or the column, when kind is kClear.
  int64_t offset;

  static LogDirectoryEntry Row(int table, int64_t row, LogPlace place) {
    return {static_cast<uint32_t>(table), kRow, row, OffsetOf(place)};
  }
  static LogDirectoryEntry Clear(int table, int column, LogPlace place) {
    return {static_cast<uint32_t>(table), kClear, column, OffsetOf(place)};
  }
};
static_assert(sizeof(LogDirectoryEntry) == 24);

// What a segment's header says of the checkpoint that the segment continues.
struct LogParent {
  int64_t checkpoint = -1;  // -1 for none.
  uint64_t tables = 0;      // Bit t: the checkpoint covers table t.
};

// One thread at a time appends and commits. Any number of threads read records, concurrently with
// it. The file of a segment that is being written stays open; that of another one is opened when it
// is needed.
class LogSegment {
 public:
  static std::string Path(const std::string& directory, int64_t sequence);
  // The sequence of the segment that a file of this name is; 0 if it is not the name of one:
  // digits, ten or, without leading zeros, more, and ".segment".
  static int64_t SequenceOfName(absl::string_view name);
  // The sequences of the segments in `directory`, ascending. Files of other names, and directories,
  // are ignored.
  static absl::StatusOr<std::vector<int64_t>> List(FileSystem* file_system,
                                                   const std::string& directory);

  // Makes an empty segment. Its name and its header are durable. No two segments of one sequence
  // may have the same nonce: it tells the records of this segment from those of an earlier attempt.
  // Errors: the file system's.
  static absl::StatusOr<std::shared_ptr<LogSegment>> Create(const std::shared_ptr<LogFiles>& files,
                                                            int64_t sequence,
                                                            const LogParent& parent,
                                                            uint64_t nonce);
  // Errors: DataLoss (truncated or damaged header), FailedPrecondition (newer format version, or a
  // partition of a log), the file system's. A damaged commit record is no error: committed() is
  // false then.
  static absl::StatusOr<std::shared_ptr<LogSegment>> Open(const std::shared_ptr<LogFiles>& files,
                                                          int64_t sequence);
  ~LogSegment();
  LogSegment(const LogSegment&) = delete;
  LogSegment& operator=(const LogSegment&) = delete;

  int64_t sequence() const { return sequence_; }
  // The checksum of the header, with its nonce: no two attempts at a segment have the same one.
  uint64_t salt() const { return salt_; }
  const std::string& path() const { return path_; }
  const LogParent& parent() const { return parent_; }
  // The size of the file, apart from what a failed write may have left behind it.
  int64_t bytes() const { return end_; }

  // --- Appending ---

  static int64_t RecordBytes(int64_t payload_bytes);
  // Appends `records`, of `bytes` each, of the rows of a table. Returns the place of the first; the
  // others follow at distances of RecordBytes(bytes). Errors: ResourceExhausted (the segment is
  // full), the file system's; nothing is appended then.
  absl::StatusOr<LogPlace> AppendRows(int table, absl::Span<const int64_t> rows,
                                      absl::Span<const char* const> records, int64_t bytes);
  // Appends a record that sets a column to its default value. Returns its place.
  absl::StatusOr<LogPlace> AppendClear(int table, int column);
  // Writes the directory, of `entries` in any order, and the commit record. After an error it may
  // be called again.
  absl::Status WriteCommit(int64_t checkpoint, uint64_t tables,
                           std::vector<LogDirectoryEntry> entries);
  // Makes what WriteCommit wrote durable: the segment is committed. After an error nobody knows
  // what is on the device, and the segment must not be used.
  absl::Status SyncCommit();

  // --- Of a committed segment ---

  bool committed() const { return committed_; }
  int64_t checkpoint() const { return checkpoint_; }
  uint64_t tables() const { return tables_; }
  int64_t directory_entries() const { return directory_entries_; }
  // Ordered by table, kind and row. Each record lies between the header and the directory. Errors:
  // DataLoss; NotFound (the file was removed or replaced since).
  absl::StatusOr<std::vector<LogDirectoryEntry>> ReadDirectory() const;

  // --- Reading ---

  // For each (place, i) of `wanted`, whose places are in this segment and ascend, copies the record
  // of rows[i], of `bytes` bytes, to records[i]. Errors: DataLoss (offset, row); NotFound (the file
  // was removed or replaced since).
  absl::Status ReadRecords(int table, int64_t bytes,
                           absl::Span<const std::pair<LogPlace, size_t>> wanted,
                           absl::Span<const int64_t> rows, absl::Span<char* const> records) const;
  // DataLoss: the file's path, and `what`.
  absl::Status Damaged(absl::string_view what) const;

 private:
  LogSegment(std::shared_ptr<LogFiles> files, int64_t sequence);
  // The file, to read it.
  absl::StatusOr<std::shared_ptr<File>> OpenFile() const;
  // NotFound when `file` is that of another segment.
  absl::Status CheckSame(File* file) const;
  absl::Status ReadHeader(File* file);
  absl::Status ReadCommit(File* file);

  const std::shared_ptr<LogFiles> files_;
  const int64_t sequence_;
  const std::string path_;
  // While the segment is written: of the thread that writes, and for those that read.
  std::shared_ptr<File> writing_;
  mutable Mutex mutex_;
  std::shared_ptr<File> reading_ ABSL_GUARDED_BY(mutex_);
  LogParent parent_;
  uint64_t salt_ = 0;  // The header's checksum; seeds those of the records.
  int64_t end_ = 0;
  bool tail_dirty_ = false;  // The file may go on after end_.

  bool committed_ = false;
  int64_t checkpoint_ = 0;
  uint64_t tables_ = 0;
  int64_t commit_bytes_ = 0;  // That WriteCommit wrote behind end_.
  int64_t directory_offset_ = 0;
  int64_t directory_entries_ = 0;
  uint64_t directory_checksum_ = 0;
};

// LogSegment::ReadRecords over several segments: those of `wanted`, ascending.
absl::Status ReadLogRecords(absl::Span<const std::shared_ptr<LogSegment>> segments, int table,
                            int64_t bytes, absl::Span<const std::pair<LogPlace, size_t>> wanted,
                            absl::Span<const int64_t> rows, absl::Span<char* const> records);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_LOG_SEGMENT_H_
