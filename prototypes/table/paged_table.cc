#include "protopage/prototypes/table/paged_table.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "protopage/base/short_text.h"
#include "protopage/base/status_macros.h"
#include "protopage/prototypes/table/row_marks.h"
#include "protopage/prototypes/table/table_log.h"
#include "xxhash.h"

namespace protopage {
namespace {

// The longest run that one system call writes. The page cache takes a folio as large as the write,
// and every later small write into it walks all its buffers: 2 KiB into a folio of 2 MiB
// costs five times as much as into one of 16 KiB.
constexpr char kId[] = "id";  // An attribute.
constexpr int64_t kWriteRunBytes = 16 << 10;
// Rows of a range that are looked up in the log at once.
constexpr int64_t kLookUpRows = 256;
// Rows of a range that are written to the log at once.
constexpr int64_t kRangeRows = 64;

// What a row adds to the checksums of its cells, times its number.
constexpr uint64_t kRowFactor = 0x9e3779b97f4a7c15;

bool HasBit(uint32_t bits, size_t c) { return (bits >> c & 1) != 0; }

// A buffer for `count` records, and pointers to them.
struct RecordBuffer {
  RecordBuffer(int64_t count, int64_t record_bytes) : bytes(count * record_bytes) {
    for (int64_t i = 0; i < count; ++i) records.push_back(bytes.data() + i * record_bytes);
  }
  absl::Span<char* const> first(size_t count) const {
    return absl::MakeConstSpan(records).subspan(0, count);
  }

  std::vector<char> bytes;
  std::vector<char*> records;
};

absl::StatusOr<Hdf5Layout> MakeLayout(const std::string& path, const TableSpec& spec) {
  Hdf5Layout layout;
  layout.integers = spec.integers;
  layout.texts = spec.texts;
  layout.integers["format_version"] = PagedTable::kFormatVersion;
  layout.texts["kind"] = spec.kind;
  TableHeader header;
  header.num_rows = spec.num_rows;
  layout.datasets.push_back({"header",
                             CellType::kUint64,
                             {kTableHeaderWords},
                             /*offset=*/0,
                             TableHeaderBytes(PagedTable::kFormatVersion, header)});
  for (const TableColumn& column : spec.columns) {
    if (column.width < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": '", column.name, "' has width ", column.width, ", at least 1"));
    }
    layout.datasets.push_back(MakeTableDataset(column, spec.capacity));
  }
  layout.datasets.push_back(
      {"checksums", CellType::kUint64, {spec.capacity, static_cast<int64_t>(spec.columns.size())}});
  if (!spec.marks.empty()) {
    layout.datasets.push_back({spec.marks, CellType::kUint64, {spec.capacity}});
  }
  layout.datasets.insert(layout.datasets.end(), spec.raw_datasets.begin(), spec.raw_datasets.end());
  return layout;
}

// Whether the file is a table of `kind` that this program reads.
absl::Status CheckKind(const std::string& path, const Hdf5Layout& layout, const std::string& kind) {
  const auto version = layout.integers.find("format_version");
  const auto file_kind = layout.texts.find("kind");
  if (version == layout.integers.end() || file_kind == layout.texts.end()) {
    return absl::DataLossError(absl::StrCat(path,
                                            ": an HDF5 file, but not of protopage (no attributes "
                                            "'format_version' and 'kind')"));
  }
  if (version->second < 1) {
    return absl::DataLossError(
        absl::StrCat(path, ": format version ", version->second, "; expected 1 or more"));
  }
  if (version->second > PagedTable::kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": format version ", version->second,
                                                      " is newer than ", PagedTable::kFormatVersion,
                                                      ", the newest that this program reads"));
  }
  if (file_kind->second != kind) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": kind is '", ShortText(file_kind->second), "', expected '", kind, "'"));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t OfRow(uint64_t checksum, int64_t row) {
  const uint64_t result = checksum + static_cast<uint64_t>(row) * kRowFactor;
  return result == 0 ? 1 : result;
}

Hdf5Dataset MakeTableDataset(const TableColumn& column, int64_t capacity) {
  Hdf5Dataset dataset;
  dataset.name = column.name;
  dataset.type = column.type;
  dataset.dims = {capacity};
  if (column.width != 1) dataset.dims.push_back(column.width);
  return dataset;
}

// --- Opening -------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<File>> LockTable(FileSystem* fs, const std::string& path) {
  // A file of its own: HDF5 readers lock the data file itself, and may read while we write.
  const std::string lock_path = absl::StrCat(fs->FollowLinks(path), ".lock");
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> lock, fs->Open(lock_path, OpenMode::kCreate));
  const absl::Status status = lock->Lock();
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": already open for writing (", lock_path, " is locked)"));
  }
  PROTOPAGE_RETURN_IF_ERROR(status);
  return lock;
}

PagedTable::PagedTable(FileSystem* file_system, const std::string& path,
                       const TableOptions& options)
    : file_system_(file_system), path_(file_system->FollowLinks(path)), options_(options) {}

absl::StatusOr<std::unique_ptr<PagedTable>> PagedTable::Create(FileSystem* file_system,
                                                               const std::string& path,
                                                               const TableSpec& spec,
                                                               const TableOptions& options) {
  if (options.read_only) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot create a table read-only"));
  }
  if (spec.num_rows < 1 || spec.capacity < spec.num_rows) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", spec.num_rows,
                                                   " rows with capacity ", spec.capacity,
                                                   "; allowed are 1 <= rows <= capacity"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(Hdf5Layout layout, MakeLayout(path, spec));
  if (options.id != 0) layout.integers[kId] = static_cast<int64_t>(options.id);
  std::vector<std::string> names;
  for (const TableColumn& column : spec.columns) names.push_back(column.name);

  std::unique_ptr<PagedTable> table(new PagedTable(file_system, path, options));
  PROTOPAGE_ASSIGN_OR_RETURN(table->file_, file_system->Open(path, OpenMode::kCreateExclusive));
  absl::Status status = [&]() -> absl::Status {
    PROTOPAGE_ASSIGN_OR_RETURN(table->lock_, LockTable(file_system, path));
    PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(table->file_.get(), path, &layout));
    PROTOPAGE_RETURN_IF_ERROR(table->file_->Sync());
    PROTOPAGE_RETURN_IF_ERROR(file_system->SyncDirectory(DirectoryOf(path)));
    PROTOPAGE_RETURN_IF_ERROR(table->Init(layout, names));
    return table->AttachToLog();
  }();
  if (!status.ok()) {
    // The lock file stays: another process may hold it.
    file_system->Remove(path).IgnoreError();
    return status;
  }
  return table;
}

absl::StatusOr<std::unique_ptr<PagedTable>> PagedTable::Open(FileSystem* file_system,
                                                             const std::string& path,
                                                             const std::string& kind,
                                                             const TableOptions& options,
                                                             const ColumnChooser& choose) {
  std::unique_ptr<PagedTable> table(new PagedTable(file_system, path, options));
  PROTOPAGE_ASSIGN_OR_RETURN(
      table->file_,
      file_system->Open(path, options.read_only ? OpenMode::kRead : OpenMode::kReadWrite));
  if (!options.read_only) {
    PROTOPAGE_ASSIGN_OR_RETURN(table->lock_, LockTable(file_system, path));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(table->file_.get(), path));
  PROTOPAGE_RETURN_IF_ERROR(CheckKind(path, layout, kind));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, choose(layout));
  PROTOPAGE_RETURN_IF_ERROR(table->Init(layout, names));
  if (options.id != 0 && table->id() != options.id) {
    return absl::DataLossError(absl::StrFormat(
        "%s: the file is another one than it was, or of another run: its id is %016x, "
        "expected %016x",
        path, table->id(), options.id));
  }
  PROTOPAGE_RETURN_IF_ERROR(table->AttachToLog());
  return table;
}

uint64_t PagedTable::id() const {
  const auto found = spec_.integers.find(kId);
  return found == spec_.integers.end() ? 0 : static_cast<uint64_t>(found->second);
}

PagedTable::~PagedTable() {
  if (attached_) options_.log->Detach(options_.log_table);
}

absl::Status PagedTable::AttachToLog() {
  if (options_.log == nullptr) {
    if (options_.read_only || main_.sequence == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        path_,
        ": it is the file of a run, which writes it through its log; write to a copy of it "
        "(protopage export)"));
  }
  bool in_place = false;
  PROTOPAGE_RETURN_IF_ERROR(
      options_.log->Attach(options_.log_table, this, main_, merging_, &in_place));
  attached_ = true;
  if (!in_place && !options_.read_only) {
    // Segments will be removed because of what this header says, and its last sync may have failed.
    // A sync alone would not write again what failed then.
    PROTOPAGE_RETURN_IF_ERROR(WriteHeader(/*writing=*/merging_ != 0, main_, merging_));
    PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  }
  in_place_ = in_place;
  return absl::OkStatus();
}

absl::Status PagedTable::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(path_, ": ", what));
}

absl::Status PagedTable::Init(const Hdf5Layout& layout, const std::vector<std::string>& names) {
  const Hdf5Dataset* checksums = layout.Find("checksums");
  if (checksums == nullptr || checksums->type != CellType::kUint64 || checksums->dims.size() != 2 ||
      checksums->dims[1] != static_cast<int64_t>(names.size())) {
    return Damaged(absl::StrCat("dataset 'checksums' is missing or not uint64 [capacity, ",
                                names.size(), "]"));
  }
  spec_.kind = layout.texts.at("kind");
  spec_.capacity = checksums->dims[0];
  spec_.integers = layout.integers;
  spec_.texts = layout.texts;
  version_ = layout.integers.at("format_version");
  PROTOPAGE_RETURN_IF_ERROR(ReadHeader(layout));
  if (spec_.num_rows < 1 || spec_.num_rows > spec_.capacity) {
    return Damaged(absl::StrCat("the number of classes is ", spec_.num_rows, ", allowed is [1, ",
                                spec_.capacity, "], the capacity"));
  }
  PROTOPAGE_RETURN_IF_ERROR(InitColumns(layout, names));
  TableBlocksLayout blocks;
  blocks.capacity = spec_.capacity;
  blocks.checksums_offset = checksums->offset;
  for (const Column& column : columns_) {
    blocks.columns.push_back({column.file_offset, column.cell_bytes});
  }
  blocks_.emplace(file_.get(), std::move(blocks), options_.block_cache_bytes);
  file_->ExpectScatteredReads();
  return absl::OkStatus();
}

absl::Status PagedTable::InitColumns(const Hdf5Layout& layout,
                                     const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Hdf5Dataset* dataset = layout.Find(name);
    if (dataset == nullptr || dataset->dims.empty() || dataset->dims.size() > 2 ||
        dataset->dims[0] != spec_.capacity) {
      return Damaged(absl::StrCat("dataset '", name, "' is missing or not [", spec_.capacity,
                                  ", width] with contiguous layout"));
    }
    TableColumn spec;
    spec.name = name;
    spec.type = dataset->type;
    spec.width = dataset->dims.size() == 2 ? dataset->dims[1] : 1;
    spec_.columns.push_back(spec);
    Column column;
    column.name = name;
    column.cell_bytes = spec.width * BytesOf(spec.type);
    column.file_offset = dataset->offset;
    column.record_offset = (record_bytes_ + 7) / 8 * 8;  // 8-byte cells at multiples of 8.
    column.narrow = column.cell_bytes < TableBlocks::kNarrowBytes;
    record_bytes_ = column.record_offset + column.cell_bytes;
    columns_.push_back(column);
  }
  for (const Hdf5Dataset& dataset : layout.datasets) {
    if (dataset.dims == std::vector<int64_t>{spec_.capacity}) row_datasets_[dataset.name] = dataset;
  }
  return absl::OkStatus();
}

// --- The header ----------------------------------------------------------------------------------
//
// Whether the file is being written, the point of the log that it is at, the sequence of the merge
// that is changing it, and from version 2 on the rows and marks that count.

absl::Status PagedTable::ReadHeader(const Hdf5Layout& layout) {
  const Hdf5Dataset* dataset = layout.Find("header");
  if (dataset == nullptr || dataset->type != CellType::kUint64 ||
      dataset->bytes() != kTableHeaderWords * 8) {
    return Damaged(
        absl::StrCat("dataset 'header' is missing or not uint64 [", kTableHeaderWords, "]"));
  }
  header_offset_ = dataset->offset;
  PROTOPAGE_ASSIGN_OR_RETURN(const TableHeader header,
                             ReadTableHeader(file_.get(), path_, header_offset_, version_));
  spec_.num_rows = header.num_rows;
  // A mark has 32 bits for the number of its change.
  constexpr int64_t kMostMarkChanges = (int64_t{1} << 32) - 2;
  if (header.mark_changes < 0 || header.mark_changes > kMostMarkChanges) {
    return Damaged(absl::StrCat("'header' counts ", header.mark_changes,
                                " changes of marks: the file is damaged"));
  }
  if (version_ < 2) {
    const auto rows = layout.integers.find("num_classes");
    if (rows == layout.integers.end()) return Damaged("attribute 'num_classes' is missing");
    spec_.num_rows = rows->second;
  }
  mark_changes_ = header.mark_changes;
  num_marked_ = header.num_marked;
  main_ = header.point;
  merging_ = header.merging;
  had_log_when_opened_ = main_.sequence > 0;
  // An unfinished merge mixes no states: all that it changes is still in the log.
  clean_when_opened_ = !header.writing || (options_.log != nullptr && main_.sequence > 0);
  const MutexLock lock(open_mutex_);
  marked_open_ = header.writing;
  mark_is_durable_ = false;  // The sync of a mark that is there already may have failed.
  return absl::OkStatus();
}

TableHeader PagedTable::MakeHeader(bool writing, const LogPoint& point, int64_t merging) const {
  TableHeader header;
  header.writing = writing;
  header.point = point;
  header.merging = merging;
  header.num_rows = spec_.num_rows;
  header.mark_changes = mark_changes_;
  header.num_marked = num_marked_;
  return header;
}

absl::Status PagedTable::WriteHeader(bool writing, const LogPoint& point, int64_t merging) {
  return WriteTableHeader(file_.get(), header_offset_, version_,
                          MakeHeader(writing, point, merging));
}

absl::Status PagedTable::SyncInPlace() {
  PROTOPAGE_RETURN_IF_ERROR(sync_error_);
  const absl::Status status = file_->Sync();
  if (!status.ok()) {
    sync_error_ = absl::Status(
        status.code(), absl::StrCat(status.message(), "; ", path_,
                                    " takes no more writes, as it may have lost what was written "
                                    "since its last flush: restore a copy, or open it again"));
  }
  return sync_error_;
}

absl::Status PagedTable::MarkOpen() {
  const MutexLock lock(open_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(sync_error_);
  if (marked_open_ && mark_is_durable_) return absl::OkStatus();
  marked_open_ = true;
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader(/*writing=*/true, {}, 0));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  mark_is_durable_ = true;
  return absl::OkStatus();
}

absl::Status PagedTable::CheckNotRetired() {
  PROTOPAGE_ASSIGN_OR_RETURN(const TableHeader header,
                             ReadTableHeader(file_.get(), path_, header_offset_, version_));
  const LogPoint head = options_.log->head();
  if ((header.writing ? header.merging : header.point.sequence) <= head.sequence) {
    return absl::OkStatus();
  }
  return absl::AbortedError(absl::StrCat(path_, ": checkpoint ", head.checkpoint,
                                         " was retired while it was read; open a newer one"));
}

absl::Status PagedTable::ReadOnlyError() const {
  return absl::FailedPreconditionError(absl::StrCat(path_, ": opened read-only"));
}

void PagedTable::CountRead(int64_t rows, int64_t bytes) {
  const MutexLock lock(stats_mutex_);
  stats_.rows_read += rows;
  stats_.bytes_read += bytes;
}

void PagedTable::CountWritten(int64_t rows, int64_t bytes) {
  const MutexLock lock(stats_mutex_);
  stats_.rows_written += rows;
  stats_.bytes_written += bytes;
}

// --- Cells ---------------------------------------------------------------------------------------

uint64_t PagedTable::Checksum(const void* cell, int64_t bytes, int64_t row) const {
  const uint64_t hash = XXH3_64bits(cell, bytes);
  const uint64_t checksum = hash == 0 ? 1 : hash;  // 0 stands for a cell that was never written.
  return version_ < 2 ? checksum : OfRow(checksum, row);
}

void PagedTable::DefaultCell(int column, int64_t row, char* cell) const {
  if (column == 0 && options_.default_cell) {
    options_.default_cell(row, cell);
  } else {
    std::memset(cell, 0, columns_[column].cell_bytes);
  }
}

absl::Status PagedTable::FinishCell(int column, int64_t row, uint64_t checksum, char* cell) const {
  if (checksum == 0) {
    DefaultCell(column, row, cell);
    return absl::OkStatus();
  }
  if (checksum == Checksum(cell, columns_[column].cell_bytes, row)) return absl::OkStatus();
  return Damaged(absl::StrCat("row ", row, " of '", columns_[column].name,
                              "' does not match its checksum: the file is damaged"));
}

absl::Status PagedTable::WriteCells(absl::Span<const WritePiece> pieces) {
  int64_t bytes = 0;
  size_t first = 0;
  while (first < pieces.size()) {
    // The pieces up to where a run of touching ones grows too long.
    size_t last = first;
    int64_t run = 0;
    do {
      const bool touches =
          last > first && pieces[last].offset == pieces[last - 1].offset + pieces[last - 1].size;
      if (touches && run + pieces[last].size > kWriteRunBytes) break;
      run = (touches ? run : 0) + pieces[last].size;
      bytes += pieces[last].size;
      ++last;
    } while (last < pieces.size());
    PROTOPAGE_RETURN_IF_ERROR(file_->WritePieces(pieces.subspan(first, last - first)));
    first = last;
  }
  CountWritten(0, bytes);
  return absl::OkStatus();
}

// --- Records -------------------------------------------------------------------------------------

absl::Status PagedTable::ReadRows(absl::Span<const int64_t> rows, absl::Span<char* const> records) {
  const absl::Status status = ReadRowsUnchecked(rows, records);
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadRowsUnchecked(absl::Span<const int64_t> rows,
                                           absl::Span<char* const> records) {
  if (!Logged()) return ReadMainRows(rows, records, {});
  std::vector<LogFound> found;
  PROTOPAGE_RETURN_IF_ERROR(options_.log->Read(options_.log_table, rows, records, &found));
  std::vector<int64_t> main_rows;
  std::vector<char*> main_records;
  std::vector<LogFound> main_found;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!found[i].in_log) {
      main_rows.push_back(rows[i]);
      main_records.push_back(records[i]);
      main_found.push_back(found[i]);
      continue;
    }
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (!HasBit(found[i].cleared, c)) continue;
      DefaultCell(static_cast<int>(c), rows[i], records[i] + columns_[c].record_offset);
    }
  }
  const auto logged = static_cast<int64_t>(rows.size() - main_rows.size());
  CountRead(logged, logged * record_bytes_);
  return ReadMainRows(main_rows, main_records, main_found);
}

absl::Status PagedTable::ReadMainRows(absl::Span<const int64_t> rows,
                                      absl::Span<char* const> records,
                                      absl::Span<const LogFound> found) {
  if (rows.empty()) return absl::OkStatus();
  const size_t num_columns = columns_.size();
  std::vector<uint64_t> checksums(rows.size() * num_columns);
  PROTOPAGE_RETURN_IF_ERROR(blocks_->Read(rows, [&](size_t i, const TableBlocks::Row& row) {
    std::copy_n(row.checksums, num_columns, &checksums[i * num_columns]);
    for (size_t c = 0; c < num_columns; ++c) {
      const Column& column = columns_[c];
      if (!column.narrow) continue;
      std::memcpy(records[i] + column.record_offset, row.Cell(static_cast<int>(c)),
                  column.cell_bytes);
    }
  }));
  for (size_t i = 0; i < found.size(); ++i) {
    for (size_t c = 0; c < num_columns; ++c) {
      if (HasBit(found[i].cleared, c)) checksums[i * num_columns + c] = 0;
    }
  }
  int64_t bytes = 0;
  std::vector<ReadPiece> pieces;
  pieces.reserve(rows.size());
  for (size_t c = 0; c < num_columns; ++c) {
    const Column& column = columns_[c];
    if (!column.narrow) {
      pieces.clear();
      for (size_t i = 0; i < rows.size(); ++i) {
        if (checksums[i * num_columns + c] == 0) continue;
        pieces.push_back({column.file_offset + rows[i] * column.cell_bytes,
                          records[i] + column.record_offset, column.cell_bytes});
      }
      PROTOPAGE_RETURN_IF_ERROR(file_->ReadPieces(pieces));
      bytes += static_cast<int64_t>(pieces.size()) * column.cell_bytes;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      PROTOPAGE_RETURN_IF_ERROR(FinishCell(static_cast<int>(c), rows[i],
                                           checksums[i * num_columns + c],
                                           records[i] + column.record_offset));
    }
  }
  CountRead(static_cast<int64_t>(rows.size()), bytes);
  return absl::OkStatus();
}

absl::Status PagedTable::WriteRows(absl::Span<const int64_t> rows,
                                   absl::Span<const char* const> records) {
  if (options_.read_only) return ReadOnlyError();
  if (rows.empty()) return absl::OkStatus();  // Nor is the file marked as being written.
  const auto count = static_cast<int64_t>(rows.size());
  {
    const ReaderMutexLock lock(in_place_mutex_);
    if (!Logged()) {
      PROTOPAGE_RETURN_IF_ERROR(MarkOpen());
      PROTOPAGE_RETURN_IF_ERROR(WriteMainRows(rows, records, {}));
      CountWritten(count, 0);
      return absl::OkStatus();
    }
  }
  PROTOPAGE_RETURN_IF_ERROR(options_.log->Append(options_.log_table, rows, records));
  CountWritten(count, count * record_bytes_);
  return absl::OkStatus();
}

absl::Status PagedTable::WriteMainRows(absl::Span<const int64_t> rows,
                                       absl::Span<const char* const> records,
                                       absl::Span<const uint32_t> cleared) {
  const auto is_cleared = [&](size_t i, size_t c) {
    return !cleared.empty() && HasBit(cleared[i], c);
  };
  std::vector<WritePiece> pieces;
  pieces.reserve(rows.size());
  for (size_t c = 0; c < columns_.size(); ++c) {
    const Column& column = columns_[c];
    if (column.narrow) continue;
    pieces.clear();
    for (size_t i = 0; i < rows.size(); ++i) {
      if (is_cleared(i, c)) continue;
      pieces.push_back({column.file_offset + rows[i] * column.cell_bytes,
                        records[i] + column.record_offset, column.cell_bytes});
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteCells(pieces));
  }
  std::vector<uint64_t> checksums(columns_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < columns_.size(); ++c) {
      const Column& column = columns_[c];
      checksums[c] = is_cleared(i, c)
                         ? 0
                         : Checksum(records[i] + column.record_offset, column.cell_bytes, rows[i]);
    }
    PROTOPAGE_RETURN_IF_ERROR(blocks_->Update(rows[i], [&](const TableBlocks::Row& row) {
      for (size_t c = 0; c < columns_.size(); ++c) {
        const Column& column = columns_[c];
        if (!column.narrow) continue;
        char* const cell = row.Cell(static_cast<int>(c));
        if (checksums[c] == 0) {
          std::memset(cell, 0, column.cell_bytes);
        } else {
          std::memcpy(cell, records[i] + column.record_offset, column.cell_bytes);
        }
      }
      std::copy(checksums.begin(), checksums.end(), row.checksums);
    }));
  }
  return absl::OkStatus();
}

// --- Columns -------------------------------------------------------------------------------------

absl::Status PagedTable::ReadColumn(int column, int64_t first, int64_t count, void* cells) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), first);
  return ReadCells(column, rows, cells);
}

absl::Status PagedTable::ReadCells(int column, absl::Span<const int64_t> rows, void* cells) {
  const absl::Status status = ReadCellsUnchecked(column, rows, static_cast<char*>(cells));
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadCellsUnchecked(int column, absl::Span<const int64_t> rows,
                                            char* cells) {
  if (!Logged() || !options_.log->Touches(options_.log_table)) {
    return ReadMainCells(column, rows, cells, {});
  }
  const int64_t offset = record_offset(column), bytes = cell_bytes(column);
  const RecordBuffer buffer(std::min<int64_t>(rows.size(), kLookUpRows), record_bytes_);
  std::vector<LogFound> found, all_found;
  for (size_t begin = 0; begin < rows.size(); begin += kLookUpRows) {
    const absl::Span<const int64_t> some = rows.subspan(begin, kLookUpRows);
    PROTOPAGE_RETURN_IF_ERROR(
        options_.log->Read(options_.log_table, some, buffer.first(some.size()), &found));
    all_found.insert(all_found.end(), found.begin(), found.end());
    for (size_t i = 0; i < some.size(); ++i) {
      if (!found[i].in_log) continue;
      char* const cell = cells + static_cast<int64_t>(begin + i) * bytes;
      if (HasBit(found[i].cleared, column)) {
        DefaultCell(column, some[i], cell);
      } else {
        std::memcpy(cell, buffer.records[i] + offset, bytes);
      }
    }
  }
  return ReadMainCells(column, rows, cells, all_found);
}

absl::Status PagedTable::ReadMainCells(int column_index, absl::Span<const int64_t> rows,
                                       char* cells, absl::Span<const LogFound> found) {
  const Column& column = columns_[column_index];
  const auto in_log = [&](size_t i) { return !found.empty() && found[i].in_log; };
  std::vector<uint64_t> checksums(rows.size());
  PROTOPAGE_RETURN_IF_ERROR(blocks_->Read(rows, [&](size_t i, const TableBlocks::Row& row) {
    if (in_log(i)) return;
    const bool cleared = !found.empty() && HasBit(found[i].cleared, column_index);
    checksums[i] = cleared ? 0 : row.checksums[column_index];
    if (!column.narrow) return;
    std::memcpy(cells + static_cast<int64_t>(i) * column.cell_bytes, row.Cell(column_index),
                column.cell_bytes);
  }));
  if (!column.narrow) PROTOPAGE_RETURN_IF_ERROR(ReadWideCells(column, rows, checksums, cells));
  for (size_t i = 0; i < rows.size(); ++i) {
    if (in_log(i)) continue;
    PROTOPAGE_RETURN_IF_ERROR(FinishCell(column_index, rows[i], checksums[i],
                                         cells + static_cast<int64_t>(i) * column.cell_bytes));
  }
  return absl::OkStatus();
}

absl::Status PagedTable::ReadWideCells(const Column& column, absl::Span<const int64_t> rows,
                                       absl::Span<const uint64_t> checksums, char* cells) {
  std::vector<ReadPiece> pieces;
  int64_t bytes = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (checksums[i] == 0) continue;
    if (i > 0 && rows[i] == rows[i - 1] + 1 && checksums[i - 1] != 0) {
      pieces.back().size += column.cell_bytes;
    } else {
      pieces.push_back({column.file_offset + rows[i] * column.cell_bytes,
                        cells + static_cast<int64_t>(i) * column.cell_bytes, column.cell_bytes});
    }
    bytes += column.cell_bytes;
  }
  PROTOPAGE_RETURN_IF_ERROR(file_->ReadPieces(pieces));
  CountRead(0, bytes);
  return absl::OkStatus();
}

absl::Status PagedTable::ReadWritten(int column, int64_t first, int64_t count, uint8_t* written) {
  const absl::Status status = ReadWrittenUnchecked(column, first, count, written);
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadWrittenUnchecked(int column, int64_t first, int64_t count,
                                              uint8_t* written) {
  const bool overlaid = Logged() && options_.log->Touches(options_.log_table);
  const RecordBuffer buffer(overlaid ? std::min(count, kLookUpRows) : 0, record_bytes_);
  std::vector<int64_t> rows;
  std::vector<LogFound> found;
  for (int64_t begin = 0; begin < count; begin += kLookUpRows) {
    rows.resize(std::min(count - begin, kLookUpRows));
    std::iota(rows.begin(), rows.end(), first + begin);
    found.assign(rows.size(), LogFound());
    if (overlaid) {
      PROTOPAGE_RETURN_IF_ERROR(
          options_.log->Read(options_.log_table, rows, buffer.first(rows.size()), &found));
    }
    PROTOPAGE_RETURN_IF_ERROR(blocks_->Read(rows, [&](size_t i, const TableBlocks::Row& row) {
      const bool is_written = found[i].in_log || row.checksums[column] != 0;
      written[begin + static_cast<int64_t>(i)] = is_written && !HasBit(found[i].cleared, column);
    }));
  }
  return absl::OkStatus();
}

absl::Status PagedTable::WriteColumn(int column, int64_t first, int64_t count, const void* cells) {
  if (options_.read_only) return ReadOnlyError();
  const char* const in = static_cast<const char*>(cells);
  {
    const ReaderMutexLock lock(in_place_mutex_);
    if (!Logged()) {
      // Rows that are not in use yet need no mark.
      if (first < spec_.num_rows) PROTOPAGE_RETURN_IF_ERROR(MarkOpen());
      return WriteMainColumn(column, first, count, in);
    }
  }
  return WriteLoggedColumn(column, first, count, in);
}

absl::Status PagedTable::WriteLoggedColumn(int column, int64_t first, int64_t count,
                                           const char* cells) {
  // The log has whole records.
  const RecordBuffer buffer(std::min(count, kRangeRows), record_bytes_);
  std::vector<int64_t> rows;
  for (int64_t begin = 0; begin < count; begin += kRangeRows) {
    rows.resize(std::min(count - begin, kRangeRows));
    std::iota(rows.begin(), rows.end(), first + begin);
    PROTOPAGE_RETURN_IF_ERROR(ReadRows(rows, buffer.first(rows.size())));
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(buffer.records[i] + record_offset(column),
                  cells + (begin + static_cast<int64_t>(i)) * cell_bytes(column),
                  cell_bytes(column));
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteRows(rows, buffer.first(rows.size())));
  }
  return absl::OkStatus();
}

absl::Status PagedTable::WriteMainColumn(int column_index, int64_t first, int64_t count,
                                         const char* cells) {
  const Column& column = columns_[column_index];
  if (!column.narrow) {
    std::vector<WritePiece> pieces;
    for (int64_t i = 0; i < count; ++i) {
      pieces.push_back({column.file_offset + (first + i) * column.cell_bytes,
                        cells + i * column.cell_bytes, column.cell_bytes});
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteCells(pieces));
  }
  for (int64_t i = 0; i < count; ++i) {
    const char* const cell = cells + i * column.cell_bytes;
    const uint64_t checksum = Checksum(cell, column.cell_bytes, first + i);
    PROTOPAGE_RETURN_IF_ERROR(blocks_->Update(first + i, [&](const TableBlocks::Row& row) {
      if (column.narrow) std::memcpy(row.Cell(column_index), cell, column.cell_bytes);
      row.checksums[column_index] = checksum;
    }));
  }
  return absl::OkStatus();
}

absl::Status PagedTable::ClearColumn(int column) {
  if (options_.read_only) return ReadOnlyError();
  {
    const ReaderMutexLock lock(in_place_mutex_);
    if (!Logged()) {
      PROTOPAGE_RETURN_IF_ERROR(MarkOpen());
      return MergeClear(column);
    }
  }
  return options_.log->AppendClear(options_.log_table, column);
}

// --- Flushing and merging ------------------------------------------------------------------------

absl::Status PagedTable::Flush() {
  if (options_.read_only) return absl::OkStatus();
  const ReaderMutexLock in_place(in_place_mutex_);
  if (Logged()) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(blocks_->Flush());
  const MutexLock lock(open_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(sync_error_);
  if (!marked_open_) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(SyncInPlace());
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader(/*writing=*/false, {}, 0));
  PROTOPAGE_RETURN_IF_ERROR(SyncInPlace());
  marked_open_ = false;
  return absl::OkStatus();
}

absl::Status PagedTable::FinishInPlace(const LogPoint& point) {
  const WriterMutexLock in_place(in_place_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(EndMerge(point));
  {
    const MutexLock lock(open_mutex_);
    marked_open_ = false;
  }
  in_place_ = false;
  return absl::OkStatus();
}

absl::Status PagedTable::BeginMerge(int64_t sequence) {
  merging_again_ = merging_ != 0;
  merging_ = sequence;
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader(/*writing=*/true, main_, sequence));
  return file_->Sync();  // Before any row changes.
}

absl::Status PagedTable::MergeClear(int column) {
  return blocks_->ClearColumn(column, spec_.num_rows, /*rewrite=*/merging_again_);
}

absl::Status PagedTable::MergeRows(absl::Span<const int64_t> rows,
                                   absl::Span<const char* const> records,
                                   absl::Span<const uint32_t> cleared) {
  return WriteMainRows(rows, records, cleared);
}

absl::Status PagedTable::EndMerge(const LogPoint& point) {
  PROTOPAGE_RETURN_IF_ERROR(blocks_->Flush());
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader(/*writing=*/false, point, 0));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  main_ = point;
  merging_ = 0;
  merging_again_ = false;
  return absl::OkStatus();
}

// --- Tables of their own -------------------------------------------------------------------------

absl::Status PagedTable::CheckOwnFile() const {
  if (options_.read_only) return ReadOnlyError();
  if (options_.log == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": it is written through a log; rows can no longer join or leave it"));
}

absl::StatusOr<Hdf5Dataset> PagedTable::FindMarks(const std::string& dataset) const {
  const auto found = row_datasets_.find(dataset);
  const CellType type = RowMarkType(version_);
  if (found != row_datasets_.end() && found->second.type == type) return found->second;
  return Damaged(absl::StrCat("dataset '", dataset, "' is missing or not ",
                              type == CellType::kUint8 ? "uint8" : "uint64", " [", spec_.capacity,
                              "]"));
}

absl::StatusOr<std::vector<int64_t>> PagedTable::ReadMarks(const std::string& dataset) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Dataset marks, FindMarks(dataset));
  PROTOPAGE_ASSIGN_OR_RETURN(RowMarks read, ReadRowMarks(file_.get(), path_, marks, version_,
                                                         MakeHeader(false, main_, merging_)));
  return std::move(read.rows);
}

absl::Status PagedTable::CheckMarks(const std::string& dataset, int64_t num_rows) {
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Dataset marks, FindMarks(dataset));
  TableHeader header = MakeHeader(false, main_, merging_);
  header.num_rows = num_rows;
  PROTOPAGE_ASSIGN_OR_RETURN(const RowMarks read,
                             ReadRowMarks(file_.get(), path_, marks, version_, header));
  if (read.rows.empty() || read.rows.back() < spec_.num_rows) return absl::OkStatus();
  return Damaged(absl::StrCat("'", dataset, "' marks row ", read.rows.back(),
                              ", which is not in use: the file is damaged"));
}

absl::Status PagedTable::WriteMarks(const std::string& dataset, absl::Span<const int64_t> rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOwnFile());
  if (version_ < 2) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": format version 1, whose marks are not written; CopyTableLarger makes it 2"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Dataset marks, FindMarks(dataset));
  // The number of this change may be that of one that was interrupted, whose cells would count.
  PROTOPAGE_ASSIGN_OR_RETURN(const RowMarks old, ReadRowMarks(file_.get(), path_, marks, version_,
                                                              MakeHeader(false, main_, merging_)));
  if (!old.interrupted.empty()) {
    PROTOPAGE_RETURN_IF_ERROR(ClearRowMarks(file_.get(), marks, old.interrupted));
    PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  }
  PROTOPAGE_RETURN_IF_ERROR(WriteRowMarks(file_.get(), marks, rows, mark_changes_ + 1));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  const MutexLock lock(open_mutex_);
  ++mark_changes_;
  num_marked_ += static_cast<int64_t>(rows.size());
  absl::Status status = WriteHeader(marked_open_, main_, merging_);
  if (status.ok()) status = file_->Sync();
  if (!status.ok()) {
    --mark_changes_;
    num_marked_ -= static_cast<int64_t>(rows.size());
  }
  return status;
}

absl::Status PagedTable::SetNumRows(int64_t num_rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOwnFile());
  if (num_rows < spec_.num_rows || num_rows > spec_.capacity) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", num_rows, " rows; allowed are ",
                                                   spec_.num_rows, " to ", spec_.capacity));
  }
  PROTOPAGE_RETURN_IF_ERROR(Flush());
  // Flush syncs only a file that is marked, and rows that are not in use yet set no mark.
  {
    const MutexLock lock(open_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(SyncInPlace());
  }
  if (version_ < 2) {
    PROTOPAGE_RETURN_IF_ERROR(SetHdf5Integer(file_.get(), path_, "num_classes", num_rows));
    spec_.num_rows = num_rows;
    return absl::OkStatus();
  }
  const MutexLock lock(open_mutex_);
  const int64_t old = std::exchange(spec_.num_rows, num_rows);
  absl::Status status = WriteHeader(marked_open_, main_, merging_);
  if (status.ok()) status = SyncInPlace();
  if (!status.ok()) spec_.num_rows = old;
  return status;
}

TableStats PagedTable::stats() const {
  TableStats stats;
  {
    const MutexLock lock(stats_mutex_);
    stats = stats_;
  }
  stats.bytes_read += blocks_->bytes_read();
  stats.bytes_written += blocks_->bytes_written();
  return stats;
}

}  // namespace protopage
