// PagedTable: rows of fixed size in an HDF5 file, moved in sorted batches.
//
// A row has one or more *columns*; a column is one contiguous dataset [capacity, width] of the
// file. In memory a row is a *record*: its columns' bytes one after the other. Beside the
// columns lies `checksums` [capacity, columns], XXH3 of each cell; 0 says that the cell was never
// written and has its default value (zeros, or what `default_cell` gives for the first column).
//
//   PROTOPAGE_ASSIGN_OR_RETURN(auto table, PagedTable::Create(
//       fs, "w.h5", {.kind = "prototypes", .num_rows = n, .capacity = n,
//                    .columns = {{"prototypes", CellType::kFloat32, 512}}}, {}));
//   std::vector<char> record(table->record_bytes());
//   PROTOPAGE_RETURN_IF_ERROR(table->ReadRows({7}, {record.data()}));
//
// With a TableLog, rows are written to the log and reads lay it over the file, see table_log.h.
//
// Columns narrower than 64 bytes and the checksums are kept in blocks of rows, in a small cache of
// their own: a system call for 8 bytes costs as much as one for a page.
// The file's bytes are described in FORMAT.md.
#ifndef PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_
#define PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "protopage/base/file.h"
#include "protopage/prototypes/table/hdf5_file.h"
#include "protopage/prototypes/table/table_log.h"

namespace protopage {

struct TableColumn {
  std::string name;
  CellType type = CellType::kFloat32;
  int64_t width = 1;  // Values a row; 1 makes the dataset one-dimensional.
};

struct TableSpec {
  std::string kind;  // What the file is, checked by Open: "prototypes", "queues".
  int64_t num_rows = 0;
  int64_t capacity = 0;  // >= num_rows
  std::vector<TableColumn> columns;
  // One-dimensional datasets [capacity] beside the columns: no checksums, no log.
  std::vector<TableColumn> other_datasets;
  // Root attributes beside the table's own.
  std::map<std::string, int64_t> integers;
  std::map<std::string, std::string> texts;
};

struct TableOptions {
  bool read_only = false;
  int64_t block_cache_bytes = int64_t{1} << 20;
  // Fills the first column's cell of a row that was never written. Empty: zeros. Thread-safe.
  std::function<void(int64_t row, void* cell)> default_cell;
  // The log that the table belongs to, open as the table is, and the table's number in it.
  TableLog* log = nullptr;
  int log_table = 0;
};

struct TableStats {
  int64_t rows_read = 0;  // Records, by ReadRows; range calls are not counted.
  int64_t rows_written = 0;
  int64_t bytes_read = 0;  // All.
  int64_t bytes_written = 0;
};

// Thread-safe, except that a row that one call writes must not be read or written by another at
// the same time: RowCache sees to it.
class PagedTable : private LoggedTable {
 public:
  // The newest format that this code reads, and the one it writes.
  static constexpr int64_t kFormatVersion = 1;

  // Errors: InvalidArgument, AlreadyExists, the log's; nothing is left behind.
  static absl::StatusOr<std::unique_ptr<PagedTable>> Create(FileSystem* file_system,
                                                            const std::string& path,
                                                            const TableSpec& spec,
                                                            const TableOptions& options);
  // `spec` of the result holds the file's attributes; its columns are those whose names are given,
  // in that order. A name that the file lacks is DataLoss; use the attributes to know which to
  // give.
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
  // The file was written through a log when it was opened: it is part of a run.
  bool had_log_when_opened() const { return had_log_when_opened_; }
  int64_t record_bytes() const override { return record_bytes_; }
  int64_t cell_bytes(int column) const { return columns_[column].cell_bytes; }
  int64_t record_offset(int column) const { return columns_[column].record_offset; }

  // Whole records. `rows` ascending and distinct.
  // Errors: DataLoss (checksum: file, dataset and row are named), Aborted (read-only with a log:
  // the checkpoint was retired), the file system's.
  absl::Status ReadRows(absl::Span<const int64_t> rows, absl::Span<char* const> records);
  absl::Status WriteRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records);

  // The cells of one column, packed, for `rows` (ascending and distinct), or [first, first +
  // count).
  absl::Status ReadCells(int column, absl::Span<const int64_t> rows, void* cells);
  absl::Status ReadColumn(int column, int64_t first, int64_t count, void* cells);
  // written[i] is 1 where the cell of row first + i was written, 0 where it has its default value.
  absl::Status ReadWritten(int column, int64_t first, int64_t count, uint8_t* written);
  absl::Status WriteColumn(int column, int64_t first, int64_t count, const void* cells);
  // The column's cells of all rows have the default value again. In place this costs O(num_rows)
  // reads of the checksums and writes only where something was; in the log, one record.
  absl::Status ClearColumn(int column);

  // All that was written in place is on the device, and the file is marked clean. What went to the
  // log is durable once it is committed.
  absl::Status Flush();
  // A file of its own with all that the flushed table holds, the log's part too, sparse and
  // durable. Nothing may write meanwhile.
  absl::Status CopyTo(const std::string& path);

  // That rows may come and go: open for writing, and no log. Errors: FailedPrecondition.
  absl::Status CheckOwnFile() const;
  // The rows whose byte in the uint8 dataset beside the columns is not 0, in ascending order; where
  // it was never written nothing is read. Errors: DataLoss (no such dataset).
  absl::StatusOr<std::vector<int64_t>> ReadMarks(const std::string& dataset);
  // Durably makes it 1 for ascending `rows`. Errors: as CheckOwnFile.
  absl::Status WriteMarks(const std::string& dataset, absl::Span<const int64_t> rows);
  // Whether there is a dataset uint8 [capacity, width], for width 1 also [capacity], beside the
  // columns.
  bool HasBytes(const std::string& dataset, int64_t width) const;
  // Its cells for rows [first, first + count) of the capacity, packed. Writing is durable. Errors:
  // NotFound (no such dataset); WriteBytes: as CheckOwnFile.
  absl::Status ReadBytes(const std::string& dataset, int64_t first, int64_t count, char* cells);
  absl::Status WriteBytes(const std::string& dataset, int64_t first, int64_t count,
                          const char* cells);
  // Durably makes [0, num_rows) the rows that are in use, at most the capacity and not fewer than
  // before; the content of the new ones, which may be written before, is flushed. Errors: as
  // CheckOwnFile.
  absl::Status SetNumRows(int64_t num_rows);
  // Copies the table at `from`, which nobody has open for writing, to `to` with room for `capacity`
  // rows and with the datasets `more`, where they are lacking, sparse and durable; `to` may be
  // `from`. Datasets that are not [rows, ...] stay as they are. Errors: FailedPrecondition (the
  // file of a log, or open), InvalidArgument (smaller than it is).
  static absl::Status CopyLarger(FileSystem* file_system, const std::string& from,
                                 const std::string& to, int64_t capacity,
                                 const std::vector<TableColumn>& more = {});

  TableStats stats() const;

 private:
  struct Column {
    std::string name;
    int64_t cell_bytes = 0;
    int64_t file_offset = 0;
    int64_t record_offset = 0;
    int64_t block_offset = -1;  // Of the narrow column in a block; -1 for a wide one.
  };
  // uint8 [capacity, width] beside the columns.
  struct ByteDataset {
    int64_t offset = 0;
    int64_t width = 0;
  };
  struct Block {
    int64_t index = -1;
    bool dirty = false;
    bool referenced = false;
    bool loading = false;  // In LoadBlocks: not to be taken again.
    std::vector<char> data;
  };

  PagedTable(FileSystem* file_system, std::string path, const TableOptions& options);
  absl::Status Init(const Hdf5Layout& layout, const std::vector<std::string>& names);
  absl::Status AttachToLog();

  // LoggedTable.
  absl::Status FinishInPlace(const LogPoint& point) override;
  absl::Status BeginMerge(int64_t sequence) override;
  absl::Status MergeClear(int column) override;
  absl::Status MergeRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records,
                         absl::Span<const uint32_t> cleared) override;
  absl::Status EndMerge(const LogPoint& point) override;

  // Errors: NotFound.
  absl::StatusOr<ByteDataset> FindBytes(const std::string& dataset) const;
  // Whether rows are read and written by way of the log.
  bool Logged() const { return options_.log != nullptr && !in_place_; }
  absl::Status ReadRowsOnce(absl::Span<const int64_t> rows, absl::Span<char* const> records);
  absl::Status ReadCellsOnce(int column, absl::Span<const int64_t> rows, char* cells);
  absl::Status ReadWrittenOnce(int column, int64_t first, int64_t count, uint8_t* written);
  // Of the main file. `found` is empty, or says which cells are not to be read, or are cleared.
  absl::Status ReadMainRows(absl::Span<const int64_t> rows, absl::Span<char* const> records,
                            absl::Span<const TableLog::Found> found);
  absl::Status ReadMainCells(int column, absl::Span<const int64_t> rows, char* cells,
                             absl::Span<const TableLog::Found> found);
  absl::Status WriteMainRows(absl::Span<const int64_t> rows, absl::Span<const char* const> records,
                             absl::Span<const uint32_t> cleared);
  absl::Status WriteMainColumn(int column, int64_t first, int64_t count, const char* cells);
  absl::Status CheckNotRetired();
  absl::Status WriteHeader(const std::array<uint64_t, 4>& words);
  absl::Status MarkOpen();
  absl::Status ReadOnlyError() const;
  absl::Status Corrupt(const Column& column, int64_t row) const;
  void DefaultCell(int column, int64_t row, char* cell) const;
  absl::Status WriteCells(absl::Span<const WritePiece> pieces);

  // The rest needs blocks_mutex_.
  absl::StatusOr<Block*> GetBlock(int64_t index);
  // Reads blocks that the cache does not have, at most RowsALoad() of them, all at once.
  absl::Status LoadBlocks(absl::Span<const int64_t> indexes);
  // Of ascending rows, at most RowsALoad(): GetBlock finds those that no later load pushed out.
  absl::Status LoadBlocksOf(absl::Span<const int64_t> rows);
  int64_t RowsALoad() const { return std::max<int64_t>(1, max_blocks_ / 2); }
  // The place in blocks_ of a block that is free now.
  absl::StatusOr<size_t> TakeBlock();
  // Of blocks ordered by index.
  absl::Status MoveBlocks(absl::Span<Block* const> blocks, bool write);
  absl::Status FlushBlocks();
  char* BlockCell(Block* block, const Column& column, int64_t row) const;
  uint64_t* BlockChecksums(Block* block, int64_t row) const;

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
  int64_t header_offset_ = 0;
  int64_t checksums_offset_ = 0;
  std::map<std::string, ByteDataset> byte_datasets_;
  int64_t block_checksums_offset_ = 0;
  int64_t block_bytes_ = 0;

  // Exclusive while writing in place comes to its end.
  std::shared_mutex in_place_mutex_;
  std::atomic<bool> in_place_{true};
  bool attached_ = false;
  LogPoint main_;        // Where the log's merges have brought the file,
  int64_t merging_ = 0;  // and where they are about to bring it; 0 when the last one is done.
  // The merge that runs was tried before: what it finds cleared may not be so on the device.
  bool merging_again_ = false;

  std::mutex open_mutex_;
  bool marked_open_ = false;  // The file says that it is being written.

  std::mutex blocks_mutex_;
  std::vector<std::unique_ptr<Block>> blocks_;
  absl::flat_hash_map<int64_t, int> block_of_;  // Block index -> position in blocks_.
  size_t max_blocks_ = 0;
  size_t block_hand_ = 0;

  mutable std::mutex stats_mutex_;
  TableStats stats_;
};

// The lock that a PagedTable open for writing holds on `path`, which need not exist, for as long as
// the result lives. Errors: FailedPrecondition (another holds it).
absl::StatusOr<std::unique_ptr<File>> LockTable(FileSystem* file_system, const std::string& path);

}  // namespace protopage

#endif  // PROTOPAGE_PROTOTYPES_TABLE_PAGED_TABLE_H_
