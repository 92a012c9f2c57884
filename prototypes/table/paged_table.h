// PagedTable: rows of fixed size in an HDF5 file, moved in sorted batches.
//
// A row has one or more *columns*; a column is one contiguous dataset [capacity, width] of the
// file. In memory a row is a *record*: the bytes of its columns, one after the other. In addition
// to the columns, the file has `checksums` [capacity, columns], XXH3 of each cell. A checksum of 0
// says that the cell was never written and has its default value: zeros, or what `default_cell`
// gives for the first column.
//
//   TableSpec spec;
//   spec.kind = "prototypes";
//   spec.num_rows = spec.capacity = n;
//   spec.columns = {{"prototypes", CellType::kFloat32, 512}};
//   PROTOPAGE_ASSIGN_OR_RETURN(auto table, PagedTable::Create(fs, path, spec, {}));
//   std::vector<char> record(table->record_bytes());
//   PROTOPAGE_RETURN_IF_ERROR(table->ReadRows({7}, {record.data()}));
//
// With a TableLog, rows are written to the log, and reads prefer it to the file: see table_log.h.
// Narrow columns and checksums are moved in blocks: see table_blocks.h. FORMAT.md describes the
// bytes of the file.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/base/mutex.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/log_index.h"
#include "protopage/prototypes/table/logged_table.h"
#include "protopage/prototypes/table/table_blocks.h"
#include "protopage/prototypes/table/table_header.h"

namespace protopage {

class TableLog;

struct TableColumn {
  std::string name;
  CellType type = CellType::kFloat32;
  int64_t width = 1;  // Values in a row; 1 makes the dataset one-dimensional.
};

// The dataset of a column: [capacity], or [capacity, width].
Hdf5Dataset MakeTableDataset(const TableColumn& column, int64_t capacity);

// The checksum of a cell of `row` in the file, from that of its bytes; neither is 0. A cell in the
// place of another row does not match it. Files of version 1 have the checksum of the bytes.
uint64_t OfRow(uint64_t checksum, int64_t row);

struct TableSpec {
  std::string kind;  // What the file holds, checked by Open: "prototypes", "queues".
  int64_t num_rows = 0;
  int64_t capacity = 0;  // >= num_rows
  std::vector<TableColumn> columns;
  // If not empty, a dataset of marks, one a row: see WriteMarks.
  std::string marks;
  // Datasets of any shape, which the table does not use.
  std::vector<Hdf5Dataset> raw_datasets;
  // Root attributes in addition to the table's own.
  std::map<std::string, int64_t> integers;
  std::map<std::string, std::string> texts;
};

struct TableOptions {
  bool read_only = false;
  int64_t block_cache_bytes = int64_t{1} << 20;
  // Fills the first column's cell of a row that was never written. Empty: zeros. Thread-safe.
  std::function<void(int64_t row, void* cell)> default_cell;
  // The log that the table belongs to, opened in the same mode as the table, and the table's number
  // in it.
  TableLog* log = nullptr;
  int log_table = 0;
  // Tells the table and its copies from all others: the attribute `id` of a new file, and what that
  // of an opened one must be. 0: a new file has none, and all are taken.
  uint64_t id = 0;
};

struct TableStats {
  int64_t rows_read = 0;  // Records, by ReadRows; range calls are not counted.
  int64_t rows_written = 0;
  int64_t bytes_read = 0;  // By all calls.
  int64_t bytes_written = 0;
};

// Thread-safe, except that a row that one call writes must not be read or written by another
// concurrently: RowCache ensures that.
class PagedTable : private LoggedTable {
 public:
  // The newest format that this code reads, and the one it writes.
  static constexpr int64_t kFormatVersion = 2;

  // Errors: InvalidArgument, AlreadyExists, the log's; nothing is left behind.
  static absl::StatusOr<std::unique_ptr<PagedTable>> Create(FileSystem* file_system,
                                                            const std::string& path,
                                                            const TableSpec& spec,
                                                            const TableOptions& options);
  // The spec of the result holds the file's attributes, and the columns that `choose` names, in its
  // order. Errors: DataLoss (damage, another id, or the file lacks a column), FailedPrecondition
  // (open for writing elsewhere, or a newer format), InvalidArgument (kind), the log's and
  // `choose`'s.
  using ColumnChooser = std::function<absl::StatusOr<std::vector<std::string>>(const Hdf5Layout&)>;
  static absl::StatusOr<std::unique_ptr<PagedTable>> Open(FileSystem* file_system,
                                                          const std::string& path,
                                                          const std::string& kind,
                                                          const TableOptions& options,
                                                          const ColumnChooser& choose);

  ~PagedTable() override;
  PagedTable(const PagedTable&) = delete;
  PagedTable& operator=(const PagedTable&) = delete;

  const std::string& path() const override { return path_; }
  const TableSpec& spec() const { return spec_; }
  bool clean_when_opened() const { return clean_when_opened_; }
  // Whether the file had been written through a log when it was opened: it is part of a run.
  bool had_log_when_opened() const { return had_log_when_opened_; }
  int64_t format_version() const { return version_; }
  uint64_t id() const;  // 0: it has none.
  int64_t record_bytes() const override { return record_bytes_; }
  int num_columns() const override { return static_cast<int>(columns_.size()); }
  int64_t capacity() const override { return spec_.capacity; }
  int64_t cell_bytes(int column) const { return columns_[column].cell_bytes; }
  int64_t record_offset(int column) const { return columns_[column].record_offset; }

  // Whole records. `rows` ascending and distinct.
  // Errors: DataLoss (checksum: file, dataset and row are named), Aborted (read-only with a log:
  // the checkpoint was retired), the file system's.
  absl::Status ReadRows(absl::Span<const int64_t> rows, absl::Span<char* const> records);
  absl::Status WriteRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records);

  // The cells of one column, packed, of `rows` (ascending and distinct) or of [first, first +
  // count).
  absl::Status ReadCells(int column, absl::Span<const int64_t> rows, void* cells);
  absl::Status ReadColumn(int column, int64_t first, int64_t count, void* cells);
  // written[i] is 1 where the cell of row first + i was written, 0 where it has its default value.
  absl::Status ReadWritten(int column, int64_t first, int64_t count, uint8_t* written);
  absl::Status WriteColumn(int column, int64_t first, int64_t count, const void* cells);
  // Resets the column's cells of all rows to their default value. In place this reads the checksums
  // of all rows, and writes only where something was; in the log, it is one record.
  absl::Status ClearColumn(int column);

  // Makes all that was written in place durable and marks the file clean. Rows in the log become
  // durable by its next commit.
  absl::Status Flush();

  // --- Tables of their own: open for writing, and without a log ---

  // Errors: FailedPrecondition (read-only, or with a log).
  absl::Status CheckOwnFile() const;
  // The rows that are marked in the dataset of marks, ascending; parts of the dataset that were
  // never written are not read. Works with a log too. Errors: DataLoss (no such dataset, or
  // damage).
  absl::StatusOr<std::vector<int64_t>> ReadMarks(const std::string& dataset);
  // Marks the ascending `rows`, none of which is marked, durably: after a crash all of them are
  // marked or none. Errors: as CheckOwnFile and ReadMarks; FailedPrecondition (format version 1).
  absl::Status WriteMarks(const std::string& dataset, absl::Span<const int64_t> rows);
  // Before SetNumRows: that none of the rows which come into use is marked. Errors: DataLoss.
  absl::Status CheckMarks(const std::string& dataset, int64_t num_rows);
  // Makes [0, num_rows) the rows that are in use, durably: at most the capacity, and not fewer than
  // before. The content of the new rows may be written before; it is flushed. Errors: as
  // CheckOwnFile.
  absl::Status SetNumRows(int64_t num_rows);

  TableStats stats() const;

 private:
  friend absl::Status CopyTable(PagedTable* table, const std::string& path);  // table_copy.h

  struct Column {
    std::string name;
    int64_t cell_bytes = 0;
    int64_t file_offset = 0;
    int64_t record_offset = 0;
    bool narrow = false;  // In blocks_.
  };
  PagedTable(FileSystem* file_system, const std::string& path, const TableOptions& options);
  // Takes over the file's layout, with the columns `names`.
  absl::Status Init(const Hdf5Layout& layout, const std::vector<std::string>& names);
  absl::Status InitColumns(const Hdf5Layout& layout, const std::vector<std::string>& names);
  absl::Status ReadHeader(const Hdf5Layout& layout);
  absl::Status AttachToLog();
  absl::Status Damaged(absl::string_view what) const;

  // LoggedTable.
  absl::Status FinishInPlace(const LogPoint& point) override;
  absl::Status BeginMerge(int64_t sequence) override;
  absl::Status MergeClear(int column) override;
  absl::Status MergeRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records,
                         absl::Span<const uint32_t> cleared) override;
  absl::Status EndMerge(const LogPoint& point) override;

  // Whether rows are read and written through the log.
  bool Logged() const { return options_.log != nullptr && !in_place_; }
  // The read calls without the check that the log still has the checkpoint.
  absl::Status ReadRowsUnchecked(absl::Span<const int64_t> rows, absl::Span<char* const> records);
  absl::Status ReadCellsUnchecked(int column, absl::Span<const int64_t> rows, char* cells);
  absl::Status ReadWrittenUnchecked(int column, int64_t first, int64_t count, uint8_t* written);
  // Of the main file. `found` is empty, or says which cells are in the log and which are cleared.
  absl::Status ReadMainRows(absl::Span<const int64_t> rows, absl::Span<char* const> records,
                            absl::Span<const LogFound> found);
  absl::Status ReadMainCells(int column, absl::Span<const int64_t> rows, char* cells,
                             absl::Span<const LogFound> found);
  absl::Status ReadWideCells(const Column& column, absl::Span<const int64_t> rows,
                             absl::Span<const uint64_t> checksums, char* cells);
  absl::Status WriteMainRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records,
                             absl::Span<const uint32_t> cleared);
  absl::Status WriteMainColumn(int column, int64_t first, int64_t count, const char* cells);
  absl::Status WriteLoggedColumn(int column, int64_t first, int64_t count, const char* cells);
  // Replaces a cell without checksum by its default value; checks the others.
  absl::Status FinishCell(int column, int64_t row, uint64_t checksum, char* cell) const;
  void DefaultCell(int column, int64_t row, char* cell) const;
  absl::Status WriteCells(absl::Span<const WritePiece> pieces);
  // For read-only tables with a log. Errors: Aborted.
  absl::Status CheckNotRetired();
  absl::Status ReadOnlyError() const;
  // Errors: DataLoss.
  absl::StatusOr<Hdf5Dataset> FindMarks(const std::string& dataset) const;
  // Of a cell of `row`; not 0.
  uint64_t Checksum(const void* cell, int64_t bytes, int64_t row) const;

  TableHeader MakeHeader(bool writing, const LogPoint& point, int64_t merging) const;
  absl::Status WriteHeader(bool writing, const LogPoint& point, int64_t merging);
  // Marks the file as being written, durably, before its first change.
  absl::Status MarkOpen();
  // Syncs what was written in place. After a failure the table takes no more writes: the next sync
  // would succeed without what this one has lost.
  absl::Status SyncInPlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(open_mutex_);
  void CountRead(int64_t rows, int64_t bytes);
  void CountWritten(int64_t rows, int64_t bytes);

  FileSystem* const file_system_;
  const std::string path_;
  const TableOptions options_;
  TableSpec spec_;
  std::unique_ptr<File> lock_;  // Held while open for writing.
  std::unique_ptr<File> file_;
  bool clean_when_opened_ = true;
  bool had_log_when_opened_ = false;
  std::vector<Column> columns_;
  int64_t record_bytes_ = 0;
  int64_t version_ = kFormatVersion;  // Of the file.
  int64_t header_offset_ = 0;
  int64_t mark_changes_ = 0, num_marked_ = 0;        // As in the header.
  std::map<std::string, Hdf5Dataset> row_datasets_;  // [capacity]
  std::optional<TableBlocks> blocks_;                // Set by Init.

  // Held by each call that writes in place, as a reader; as a writer while writing in place ends.
  // Held across I/O: the end waits for the writes that have begun.
  SharedMutex in_place_mutex_ ABSL_ACQUIRED_BEFORE(open_mutex_);
  std::atomic<bool> in_place_{true};
  bool attached_ = false;

  // Set when the table is opened, then by the calls of LoggedTable, of which one runs at a time.
  LogPoint main_;        // The point that merges have brought the file to,
  int64_t merging_ = 0;  // and the sequence that one is bringing it to; 0 when none is unfinished.
  // This merge was tried before, so what it finds cleared may not be so on the device.
  bool merging_again_ = false;

  // Held across the writes and syncs of the mark: no row is written before it is durable.
  Mutex open_mutex_;
  bool marked_open_ ABSL_GUARDED_BY(open_mutex_) = false;      // The file says it is being written,
  bool mark_is_durable_ ABSL_GUARDED_BY(open_mutex_) = false;  // also after a loss of power.
  absl::Status sync_error_ ABSL_GUARDED_BY(open_mutex_);  // Of the first SyncInPlace that failed.

  mutable Mutex stats_mutex_;
  TableStats stats_ ABSL_GUARDED_BY(stats_mutex_);  // Without the blocks'.
};

// Locks the table at `path`, which need not exist, for writing, for as long as the result lives. A
// PagedTable that is open for writing holds this lock. Errors: FailedPrecondition (another holds
// it).
absl::StatusOr<std::unique_ptr<File>> LockTable(FileSystem* file_system, const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_
