#include "protopage/prototypes/table/paged_table.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

// A column whose cells are narrower than this lives in blocks.
constexpr int64_t kNarrowBytes = 64;
// Rows in a block. 128 rows of the store's narrow data (last_step and three checksums) are 4 KiB.
constexpr int64_t kBlockRows = 128;
constexpr size_t kMinBlocks = 16;
// The longest run that one system call writes. The page cache takes a folio as large as the write,
// and every later small write into it walks all its buffers: 2 KiB into a folio of 2 MiB
// costs five times as much as into one of 16 KiB.
constexpr int64_t kWriteRunBytes = 16 << 10;
// Words of the dataset `header`, see FORMAT.md.
constexpr int64_t kHeaderWords = 8;
// Rows of a range that are looked up in the log at once.
constexpr int64_t kLookUpRows = 256;
// Rows of a range that are written to the log at once.
constexpr int64_t kRangeRows = 64;

uint64_t Checksum(const void* cell, int64_t bytes) {
  const uint64_t hash = XXH3_64bits(cell, bytes);
  return hash == 0 ? 1 : hash;  // 0 says: never written.
}

Hdf5Dataset MakeDataset(const TableColumn& column, int64_t capacity) {
  Hdf5Dataset dataset;
  dataset.name = column.name;
  dataset.type = column.type;
  dataset.dims = {capacity};
  if (column.width != 1) dataset.dims.push_back(column.width);
  return dataset;
}

}  // namespace

absl::StatusOr<std::unique_ptr<File>> LockTable(FileSystem* fs, const std::string& path) {
  // A file of its own: HDF5 readers lock the data file itself, and may read while we write.
  const std::string lock_path = absl::StrCat(path, ".lock");
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> lock, fs->Open(lock_path, OpenMode::kCreate));
  const absl::Status status = lock->Lock();
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": already open for writing (", lock_path, " is locked)"));
  }
  PROTOPAGE_RETURN_IF_ERROR(status);
  return lock;
}

PagedTable::PagedTable(FileSystem* file_system, std::string path, const TableOptions& options)
    : file_system_(file_system), path_(std::move(path)), options_(options) {}

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
  Hdf5Layout layout;
  layout.integers = spec.integers;
  layout.texts = spec.texts;
  layout.integers["format_version"] = kFormatVersion;
  layout.integers["num_classes"] = spec.num_rows;
  layout.texts["kind"] = spec.kind;
  layout.datasets.push_back({"header", CellType::kUint64, {kHeaderWords}});
  std::vector<std::string> names;
  for (const TableColumn& column : spec.columns) {
    names.push_back(column.name);
    if (column.width < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": '", column.name, "' has width ", column.width, ", at least 1"));
    }
    layout.datasets.push_back(MakeDataset(column, spec.capacity));
  }
  layout.datasets.push_back(
      {"checksums", CellType::kUint64, {spec.capacity, static_cast<int64_t>(spec.columns.size())}});
  for (const TableColumn& column : spec.other_datasets) {
    layout.datasets.push_back(MakeDataset(column, spec.capacity));
  }

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
    file_system->Remove(path).IgnoreError();
    file_system->Remove(absl::StrCat(path, ".lock")).IgnoreError();
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
  const auto version = layout.integers.find("format_version");
  const auto file_kind = layout.texts.find("kind");
  if (version == layout.integers.end() || file_kind == layout.texts.end()) {
    return absl::DataLossError(absl::StrCat(path,
                                            ": an HDF5 file, but not of protopage (no attributes "
                                            "'format_version' and 'kind')"));
  }
  if (version->second > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": format version ", version->second,
                                                      " is newer than ", kFormatVersion,
                                                      ", the newest that this program reads"));
  }
  if (file_kind->second != kind) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": kind is '", file_kind->second, "', expected '", kind, "'"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, choose(layout));
  PROTOPAGE_RETURN_IF_ERROR(table->Init(layout, names));
  PROTOPAGE_RETURN_IF_ERROR(table->AttachToLog());
  return table;
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
    // Segments will be removed on the word of this header, whose last sync may have failed. A sync
    // alone would not repeat what failed.
    PROTOPAGE_RETURN_IF_ERROR(
        WriteHeader({merging_ != 0, static_cast<uint64_t>(main_.sequence),
                     static_cast<uint64_t>(main_.checkpoint), static_cast<uint64_t>(merging_)}));
    PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  }
  in_place_ = in_place;
  return absl::OkStatus();
}

absl::Status PagedTable::Init(const Hdf5Layout& layout, const std::vector<std::string>& names) {
  const auto bad = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path_, ": ", what));
  };
  const auto rows = layout.integers.find("num_classes");
  const Hdf5Dataset* checksums = layout.Find("checksums");
  const Hdf5Dataset* header = layout.Find("header");
  if (rows == layout.integers.end()) return bad("attribute 'num_classes' is missing");
  if (checksums == nullptr || checksums->type != CellType::kUint64 || checksums->dims.size() != 2 ||
      checksums->dims[1] != static_cast<int64_t>(names.size())) {
    return bad(absl::StrCat("dataset 'checksums' is missing or not uint64 [capacity, ",
                            names.size(), "]"));
  }
  if (header == nullptr || header->type != CellType::kUint64 ||
      header->bytes() != kHeaderWords * 8) {
    return bad(absl::StrCat("dataset 'header' is missing or not uint64 [", kHeaderWords, "]"));
  }
  spec_.kind = layout.texts.at("kind");
  spec_.num_rows = rows->second;
  spec_.capacity = checksums->dims[0];
  spec_.integers = layout.integers;
  spec_.texts = layout.texts;
  if (spec_.num_rows < 1 || spec_.num_rows > spec_.capacity) {
    return bad(absl::StrCat("num_classes is ", spec_.num_rows, ", allowed is [1, ", spec_.capacity,
                            "], the capacity"));
  }
  header_offset_ = header->offset;
  checksums_offset_ = checksums->offset;
  for (const std::string& name : names) {
    const Hdf5Dataset* dataset = layout.Find(name);
    if (dataset == nullptr || dataset->dims.empty() || dataset->dims.size() > 2 ||
        dataset->dims[0] != spec_.capacity) {
      return bad(absl::StrCat("dataset '", name, "' is missing or not [", spec_.capacity,
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
    // 8-byte cells at multiples of 8.
    column.record_offset = (record_bytes_ + 7) / 8 * 8;
    record_bytes_ = column.record_offset + column.cell_bytes;
    if (column.cell_bytes < kNarrowBytes) {
      column.block_offset = block_bytes_;
      block_bytes_ += (column.cell_bytes * kBlockRows + 7) / 8 * 8;
    }
    columns_.push_back(column);
  }
  for (const Hdf5Dataset& dataset : layout.datasets) {
    const size_t rank = dataset.dims.size();
    if (dataset.type != CellType::kUint8 || rank < 1 || rank > 2 ||
        dataset.dims[0] != spec_.capacity) {
      continue;
    }
    byte_datasets_[dataset.name] = {dataset.offset, rank == 2 ? dataset.dims[1] : 1};
  }
  block_checksums_offset_ = block_bytes_;
  block_bytes_ += static_cast<int64_t>(columns_.size()) * 8 * kBlockRows;
  max_blocks_ = std::max<size_t>(kMinBlocks, options_.block_cache_bytes / (block_bytes_ + 64));

  file_->ExpectScatteredReads();
  std::array<uint64_t, 4> words;
  PROTOPAGE_RETURN_IF_ERROR(file_->ReadAt(header_offset_, words.data(), sizeof(words)));
  main_ = LogPoint{static_cast<int64_t>(words[1]), static_cast<int64_t>(words[2])};
  had_log_when_opened_ = main_.sequence > 0;
  merging_ = words[0] != 0 ? static_cast<int64_t>(words[3]) : 0;
  // An unfinished merge mixes nothing: all that it changes is in the log still.
  clean_when_opened_ = words[0] == 0 || (options_.log != nullptr && main_.sequence > 0);
  marked_open_ = words[0] != 0;
  return absl::OkStatus();
}

absl::Status PagedTable::WriteHeader(const std::array<uint64_t, 4>& words) {
  return file_->WriteAt(header_offset_, words.data(), sizeof(words));
}

absl::Status PagedTable::MarkOpen() {
  const std::lock_guard<std::mutex> lock(open_mutex_);
  if (marked_open_) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader({1, 0, 0, 0}));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());  // Before any row changes.
  marked_open_ = true;
  return absl::OkStatus();
}

absl::Status PagedTable::CheckNotRetired() {
  std::array<uint64_t, 4> words;
  PROTOPAGE_RETURN_IF_ERROR(file_->ReadAt(header_offset_, words.data(), sizeof(words)));
  const LogPoint head = options_.log->head();
  if (static_cast<int64_t>(words[0] != 0 ? words[3] : words[1]) <= head.sequence) {
    return absl::OkStatus();
  }
  return absl::AbortedError(absl::StrCat(path_, ": checkpoint ", head.checkpoint,
                                         " was retired while it was read; open a newer one"));
}

absl::Status PagedTable::ReadOnlyError() const {
  return absl::FailedPreconditionError(absl::StrCat(path_, ": opened read-only"));
}

absl::Status PagedTable::Corrupt(const Column& column, int64_t row) const {
  return absl::DataLossError(absl::StrCat(path_, ": row ", row, " of '", column.name,
                                          "' does not match its checksum: the file is damaged"));
}

void PagedTable::DefaultCell(int column, int64_t row, char* cell) const {
  if (column == 0 && options_.default_cell) {
    options_.default_cell(row, cell);
  } else {
    std::memset(cell, 0, columns_[column].cell_bytes);
  }
}

char* PagedTable::BlockCell(Block* block, const Column& column, int64_t row) const {
  return block->data.data() + column.block_offset + row % kBlockRows * column.cell_bytes;
}

uint64_t* PagedTable::BlockChecksums(Block* block, int64_t row) const {
  return reinterpret_cast<uint64_t*>(block->data.data() + block_checksums_offset_) +
         row % kBlockRows * columns_.size();
}

absl::Status PagedTable::MoveBlocks(absl::Span<Block* const> blocks, bool write) {
  std::vector<ReadPiece> reads;
  int64_t moved = 0;
  const auto move = [&](int64_t file_offset, int64_t cell_bytes, int64_t block_offset) {
    reads.clear();
    for (Block* block : blocks) {
      const int64_t first = block->index * kBlockRows;
      const int64_t bytes = std::min(kBlockRows, spec_.capacity - first) * cell_bytes;
      char* data = block->data.data() + block_offset;
      const int64_t offset = file_offset + first * cell_bytes;
      moved += bytes;
      // One by one, for the reason of kWriteRunBytes.
      if (write) PROTOPAGE_RETURN_IF_ERROR(file_->WriteAt(offset, data, bytes));
      reads.push_back({offset, data, bytes});
    }
    return write ? absl::OkStatus() : file_->ReadPieces(reads);
  };
  for (const Column& column : columns_) {
    if (column.block_offset < 0) continue;
    PROTOPAGE_RETURN_IF_ERROR(move(column.file_offset, column.cell_bytes, column.block_offset));
  }
  PROTOPAGE_RETURN_IF_ERROR(
      move(checksums_offset_, 8 * static_cast<int64_t>(columns_.size()), block_checksums_offset_));
  const std::lock_guard<std::mutex> lock(stats_mutex_);
  (write ? stats_.bytes_written : stats_.bytes_read) += moved;
  return absl::OkStatus();
}

absl::StatusOr<PagedTable::Block*> PagedTable::GetBlock(int64_t index) {
  auto found = block_of_.find(index);
  if (found == block_of_.end()) {
    PROTOPAGE_RETURN_IF_ERROR(LoadBlocks({index}));
    found = block_of_.find(index);
  }
  Block* block = blocks_[found->second].get();
  block->referenced = true;
  return block;
}

absl::Status PagedTable::LoadBlocks(absl::Span<const int64_t> indexes) {
  std::vector<Block*> loading;
  std::vector<size_t> places;
  absl::Status status;
  for (const int64_t index : indexes) {
    const absl::StatusOr<size_t> at = TakeBlock();
    status = at.status();
    if (!status.ok()) break;
    Block* block = blocks_[*at].get();
    block->index = index;
    block->loading = true;
    loading.push_back(block);
    places.push_back(*at);
  }
  if (status.ok()) status = MoveBlocks(loading, /*write=*/false);
  for (size_t i = 0; i < loading.size(); ++i) {
    loading[i]->loading = false;
    loading[i]->referenced = status.ok();
    if (status.ok()) {
      block_of_[loading[i]->index] = static_cast<int>(places[i]);
    } else {
      loading[i]->index = -1;  // Free: found by the next sweep, as nothing refers to it.
    }
  }
  return status;
}

absl::StatusOr<size_t> PagedTable::TakeBlock() {
  if (blocks_.size() < max_blocks_) {
    blocks_.push_back(std::make_unique<Block>());
    blocks_.back()->data.resize(block_bytes_);
    return blocks_.size() - 1;
  }
  // Second chance, first for clean blocks; when all are dirty they are written together.
  for (size_t looked = 0;; ++looked) {
    if (looked == 2 * max_blocks_) PROTOPAGE_RETURN_IF_ERROR(FlushBlocks());
    const size_t at = block_hand_;
    block_hand_ = (block_hand_ + 1) % max_blocks_;
    Block* block = blocks_[at].get();
    if (block->loading) continue;
    if (!block->dirty && !block->referenced) {
      block_of_.erase(block->index);
      return at;
    }
    block->referenced = false;
  }
}

absl::Status PagedTable::LoadBlocksOf(absl::Span<const int64_t> rows) {
  std::vector<int64_t> missing;
  for (const int64_t row : rows) {
    const int64_t index = row / kBlockRows;
    if (!missing.empty() && missing.back() == index) continue;
    if (block_of_.find(index) == block_of_.end()) missing.push_back(index);
  }
  return missing.empty() ? absl::OkStatus() : LoadBlocks(missing);
}

absl::Status PagedTable::FlushBlocks() {
  std::vector<Block*> dirty;
  for (const auto& block : blocks_) {
    if (block->dirty) dirty.push_back(block.get());
  }
  std::sort(dirty.begin(), dirty.end(), [](Block* a, Block* b) { return a->index < b->index; });
  PROTOPAGE_RETURN_IF_ERROR(MoveBlocks(dirty, /*write=*/true));
  for (Block* block : dirty) block->dirty = false;
  return absl::OkStatus();
}

absl::Status PagedTable::ReadRows(absl::Span<const int64_t> rows, absl::Span<char* const> records) {
  const absl::Status status = ReadRowsOnce(rows, records);
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadRowsOnce(absl::Span<const int64_t> rows,
                                      absl::Span<char* const> records) {
  if (!Logged()) return ReadMainRows(rows, records, {});
  std::vector<TableLog::Found> found;
  PROTOPAGE_RETURN_IF_ERROR(options_.log->Read(options_.log_table, rows, records, &found));
  std::vector<int64_t> main_rows;
  std::vector<char*> main_records;
  std::vector<TableLog::Found> main_found;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!found[i].in_log) {
      main_rows.push_back(rows[i]);
      main_records.push_back(records[i]);
      main_found.push_back(found[i]);
      continue;
    }
    for (size_t c = 0; c < columns_.size(); ++c) {
      if ((found[i].cleared >> c & 1) == 0) continue;
      DefaultCell(static_cast<int>(c), rows[i], records[i] + columns_[c].record_offset);
    }
  }
  {
    const auto logged = static_cast<int64_t>(rows.size() - main_rows.size());
    const std::lock_guard<std::mutex> lock(stats_mutex_);
    stats_.rows_read += logged;
    stats_.bytes_read += logged * record_bytes_;
  }
  return ReadMainRows(main_rows, main_records, main_found);
}

absl::Status PagedTable::ReadMainRows(absl::Span<const int64_t> rows,
                                      absl::Span<char* const> records,
                                      absl::Span<const TableLog::Found> found) {
  if (rows.empty()) return absl::OkStatus();
  const size_t num_columns = columns_.size();
  std::vector<uint64_t> checksums(rows.size() * num_columns);
  {
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i % RowsALoad() == 0)
        PROTOPAGE_RETURN_IF_ERROR(LoadBlocksOf(rows.subspan(i, RowsALoad())));
      PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock(rows[i] / kBlockRows));
      std::copy_n(BlockChecksums(block, rows[i]), num_columns, &checksums[i * num_columns]);
      for (const Column& column : columns_) {
        if (column.block_offset < 0) continue;
        std::memcpy(records[i] + column.record_offset, BlockCell(block, column, rows[i]),
                    column.cell_bytes);
      }
    }
  }
  for (size_t i = 0; i < found.size(); ++i) {
    for (size_t c = 0; c < num_columns; ++c) {
      if ((found[i].cleared >> c & 1) != 0) checksums[i * num_columns + c] = 0;
    }
  }
  int64_t bytes = 0;
  std::vector<ReadPiece> pieces;
  pieces.reserve(rows.size());
  for (size_t c = 0; c < num_columns; ++c) {
    const Column& column = columns_[c];
    if (column.block_offset < 0) {
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
      char* cell = records[i] + column.record_offset;
      const uint64_t checksum = checksums[i * num_columns + c];
      if (checksum == 0) {
        DefaultCell(static_cast<int>(c), rows[i], cell);
      } else if (checksum != Checksum(cell, column.cell_bytes)) {
        return Corrupt(column, rows[i]);
      }
    }
  }
  const std::lock_guard<std::mutex> lock(stats_mutex_);
  stats_.rows_read += static_cast<int64_t>(rows.size());
  stats_.bytes_read += bytes;
  return absl::OkStatus();
}

absl::Status PagedTable::WriteCells(absl::Span<const WritePiece> pieces) {
  int64_t bytes = 0;
  size_t first = 0;
  while (first < pieces.size()) {
    // Pieces up to where a run of touching ones grows too long.
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
  const std::lock_guard<std::mutex> lock(stats_mutex_);
  stats_.bytes_written += bytes;
  return absl::OkStatus();
}

absl::Status PagedTable::WriteRows(absl::Span<const int64_t> rows,
                                   absl::Span<const char* const> records) {
  if (options_.read_only) return ReadOnlyError();
  if (rows.empty()) return absl::OkStatus();  // Nor is the file marked as being written.
  const auto count = static_cast<int64_t>(rows.size());
  if (const std::shared_lock<std::shared_mutex> lock(in_place_mutex_); !Logged()) {
    PROTOPAGE_RETURN_IF_ERROR(MarkOpen());
    PROTOPAGE_RETURN_IF_ERROR(WriteMainRows(rows, records, {}));
    const std::lock_guard<std::mutex> stats_lock(stats_mutex_);
    stats_.rows_written += count;
    return absl::OkStatus();
  }
  PROTOPAGE_RETURN_IF_ERROR(options_.log->Append(options_.log_table, rows, records));
  const std::lock_guard<std::mutex> lock(stats_mutex_);
  stats_.rows_written += count;
  stats_.bytes_written += count * record_bytes_;
  return absl::OkStatus();
}

absl::Status PagedTable::WriteMainRows(absl::Span<const int64_t> rows,
                                       absl::Span<const char* const> records,
                                       absl::Span<const uint32_t> cleared) {
  const auto is_cleared = [&](size_t i, size_t c) {
    return !cleared.empty() && (cleared[i] >> c & 1) != 0;
  };
  std::vector<WritePiece> pieces;
  pieces.reserve(rows.size());
  for (size_t c = 0; c < columns_.size(); ++c) {
    const Column& column = columns_[c];
    if (column.block_offset >= 0) continue;
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
      checksums[c] = is_cleared(i, c)
                         ? 0
                         : Checksum(records[i] + columns_[c].record_offset, columns_[c].cell_bytes);
    }
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock(rows[i] / kBlockRows));
    for (size_t c = 0; c < columns_.size(); ++c) {
      const Column& column = columns_[c];
      if (column.block_offset < 0) continue;
      char* cell = BlockCell(block, column, rows[i]);
      if (checksums[c] == 0) {
        std::memset(cell, 0, column.cell_bytes);
      } else {
        std::memcpy(cell, records[i] + column.record_offset, column.cell_bytes);
      }
    }
    std::copy(checksums.begin(), checksums.end(), BlockChecksums(block, rows[i]));
    block->dirty = true;
  }
  return absl::OkStatus();
}

absl::Status PagedTable::ReadColumn(int column, int64_t first, int64_t count, void* cells) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), first);
  return ReadCells(column, rows, cells);
}

absl::Status PagedTable::ReadCells(int column, absl::Span<const int64_t> rows, void* cells) {
  const absl::Status status = ReadCellsOnce(column, rows, static_cast<char*>(cells));
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadCellsOnce(int column, absl::Span<const int64_t> rows, char* cells) {
  if (!Logged() || !options_.log->Touches(options_.log_table)) {
    return ReadMainCells(column, rows, cells, {});
  }
  const int64_t offset = record_offset(column), bytes = cell_bytes(column);
  std::vector<char> buffer(std::min<int64_t>(rows.size(), kLookUpRows) * record_bytes_);
  std::vector<char*> records;
  std::vector<TableLog::Found> found, all_found;
  for (size_t begin = 0; begin < rows.size(); begin += kLookUpRows) {
    const absl::Span<const int64_t> some = rows.subspan(begin, kLookUpRows);
    records.clear();
    for (size_t i = 0; i < some.size(); ++i) records.push_back(buffer.data() + i * record_bytes_);
    PROTOPAGE_RETURN_IF_ERROR(options_.log->Read(options_.log_table, some, records, &found));
    all_found.insert(all_found.end(), found.begin(), found.end());
    for (size_t i = 0; i < some.size(); ++i) {
      if (!found[i].in_log) continue;
      char* cell = cells + static_cast<int64_t>(begin + i) * bytes;
      if ((found[i].cleared >> column & 1) != 0) {
        DefaultCell(column, some[i], cell);
      } else {
        std::memcpy(cell, records[i] + offset, bytes);
      }
    }
  }
  return ReadMainCells(column, rows, cells, all_found);
}

absl::Status PagedTable::ReadWritten(int column, int64_t first, int64_t count, uint8_t* written) {
  const absl::Status status = ReadWrittenOnce(column, first, count, written);
  if (options_.read_only && Logged()) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
  return status;
}

absl::Status PagedTable::ReadWrittenOnce(int column, int64_t first, int64_t count,
                                         uint8_t* written) {
  const bool overlaid = Logged() && options_.log->Touches(options_.log_table);
  std::vector<char> buffer(overlaid ? std::min(count, kLookUpRows) * record_bytes_ : 0);
  std::vector<int64_t> rows;
  std::vector<char*> records;
  std::vector<TableLog::Found> found;
  for (int64_t begin = 0; begin < count; begin += kLookUpRows) {
    const int64_t end = std::min(count, begin + kLookUpRows);
    found.assign(end - begin, TableLog::Found());
    if (overlaid) {
      rows.clear();
      records.clear();
      for (int64_t i = begin; i < end; ++i) {
        rows.push_back(first + i);
        records.push_back(buffer.data() + (i - begin) * record_bytes_);
      }
      PROTOPAGE_RETURN_IF_ERROR(options_.log->Read(options_.log_table, rows, records, &found));
    }
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    for (int64_t i = begin; i < end; ++i) {
      const TableLog::Found& in = found[i - begin];
      bool is_written = in.in_log;
      if (!is_written) {
        PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock((first + i) / kBlockRows));
        is_written = BlockChecksums(block, first + i)[column] != 0;
      }
      written[i] = is_written && (in.cleared >> column & 1) == 0;
    }
  }
  return absl::OkStatus();
}

absl::Status PagedTable::ReadMainCells(int column_index, absl::Span<const int64_t> rows, char* out,
                                       absl::Span<const TableLog::Found> found) {
  const Column& column = columns_[column_index];
  const auto count = static_cast<int64_t>(rows.size());
  const auto skipped = [&](int64_t i) { return !found.empty() && found[i].in_log; };
  std::vector<uint64_t> checksums(count);
  {
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    for (int64_t i = 0; i < count; ++i) {
      if (i % RowsALoad() == 0)
        PROTOPAGE_RETURN_IF_ERROR(LoadBlocksOf(rows.subspan(i, RowsALoad())));
      if (skipped(i)) continue;
      PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock(rows[i] / kBlockRows));
      const bool cleared = !found.empty() && (found[i].cleared >> column_index & 1) != 0;
      checksums[i] = cleared ? 0 : BlockChecksums(block, rows[i])[column_index];
      if (column.block_offset >= 0) {
        std::memcpy(out + i * column.cell_bytes, BlockCell(block, column, rows[i]),
                    column.cell_bytes);
      }
    }
  }
  if (column.block_offset < 0) {
    std::vector<ReadPiece> pieces;
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (checksums[i] == 0) continue;
      if (i > 0 && rows[i] == rows[i - 1] + 1 && checksums[i - 1] != 0) {
        pieces.back().size += column.cell_bytes;
      } else {
        pieces.push_back({column.file_offset + rows[i] * column.cell_bytes,
                          out + i * column.cell_bytes, column.cell_bytes});
      }
      bytes += column.cell_bytes;
    }
    PROTOPAGE_RETURN_IF_ERROR(file_->ReadPieces(pieces));
    const std::lock_guard<std::mutex> lock(stats_mutex_);
    stats_.bytes_read += bytes;
  }
  for (int64_t i = 0; i < count; ++i) {
    if (skipped(i)) continue;
    char* cell = out + i * column.cell_bytes;
    if (checksums[i] == 0) {
      DefaultCell(column_index, rows[i], cell);
    } else if (checksums[i] != Checksum(cell, column.cell_bytes)) {
      return Corrupt(column, rows[i]);
    }
  }
  return absl::OkStatus();
}

absl::Status PagedTable::WriteColumn(int column, int64_t first, int64_t count, const void* cells) {
  if (options_.read_only) return ReadOnlyError();
  const char* const in = static_cast<const char*>(cells);
  if (const std::shared_lock<std::shared_mutex> lock(in_place_mutex_); !Logged()) {
    if (first < spec_.num_rows) PROTOPAGE_RETURN_IF_ERROR(MarkOpen());  // Others do not count yet.
    return WriteMainColumn(column, first, count, in);
  }
  // The log has whole records.
  std::vector<char> buffer(std::min(count, kRangeRows) * record_bytes_);
  std::vector<int64_t> rows;
  std::vector<char*> records;
  for (int64_t begin = 0; begin < count; begin += kRangeRows) {
    rows.clear();
    records.clear();
    for (int64_t i = begin; i < std::min(count, begin + kRangeRows); ++i) {
      rows.push_back(first + i);
      records.push_back(buffer.data() + (i - begin) * record_bytes_);
    }
    PROTOPAGE_RETURN_IF_ERROR(ReadRows(rows, records));
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(records[i] + record_offset(column),
                  in + (begin + static_cast<int64_t>(i)) * cell_bytes(column), cell_bytes(column));
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteRows(rows, records));
  }
  return absl::OkStatus();
}

absl::Status PagedTable::WriteMainColumn(int column_index, int64_t first, int64_t count,
                                         const char* in) {
  const Column& column = columns_[column_index];
  if (column.block_offset < 0) {
    std::vector<WritePiece> pieces;
    for (int64_t i = 0; i < count; ++i) {
      pieces.push_back({column.file_offset + (first + i) * column.cell_bytes,
                        in + i * column.cell_bytes, column.cell_bytes});
    }
    PROTOPAGE_RETURN_IF_ERROR(WriteCells(pieces));
  }
  const std::lock_guard<std::mutex> lock(blocks_mutex_);
  for (int64_t i = 0; i < count; ++i) {
    const char* cell = in + i * column.cell_bytes;
    PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock((first + i) / kBlockRows));
    if (column.block_offset >= 0) {
      std::memcpy(BlockCell(block, column, first + i), cell, column.cell_bytes);
    }
    BlockChecksums(block, first + i)[column_index] = Checksum(cell, column.cell_bytes);
    block->dirty = true;
  }
  return absl::OkStatus();
}

absl::Status PagedTable::ClearColumn(int column) {
  if (options_.read_only) return ReadOnlyError();
  if (const std::shared_lock<std::shared_mutex> lock(in_place_mutex_); !Logged()) {
    PROTOPAGE_RETURN_IF_ERROR(MarkOpen());
    return MergeClear(column);
  }
  return options_.log->AppendClear(options_.log_table, column);
}

absl::Status PagedTable::MergeClear(int column_index) {
  const Column& column = columns_[column_index];
  for (int64_t first = 0; first < spec_.num_rows; first += kBlockRows) {
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    PROTOPAGE_ASSIGN_OR_RETURN(Block * block, GetBlock(first / kBlockRows));
    const int64_t end = std::min(first + kBlockRows, spec_.num_rows);
    for (int64_t row = first; row < end; ++row) {
      uint64_t& checksum = BlockChecksums(block, row)[column_index];
      if (checksum == 0) continue;
      checksum = 0;
      if (column.block_offset >= 0) {
        std::memset(BlockCell(block, column, row), 0, column.cell_bytes);
      }
      block->dirty = true;
    }
    if (merging_again_ && !block->dirty) {
      // Unless nothing was ever written here: the file stays sparse.
      const uint64_t* checksums = BlockChecksums(block, first);
      block->dirty = std::any_of(checksums, checksums + kBlockRows * columns_.size(),
                                 [](uint64_t checksum) { return checksum != 0; });
    }
  }
  return absl::OkStatus();
}

absl::Status PagedTable::Flush() {
  if (options_.read_only) return absl::OkStatus();
  const std::shared_lock<std::shared_mutex> in_place(in_place_mutex_);
  if (Logged()) return absl::OkStatus();
  {
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(FlushBlocks());
  }
  const std::lock_guard<std::mutex> lock(open_mutex_);
  if (!marked_open_) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader({0, 0, 0, 0}));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  marked_open_ = false;
  return absl::OkStatus();
}

absl::Status PagedTable::FinishInPlace(const LogPoint& point) {
  const std::unique_lock<std::shared_mutex> in_place(in_place_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(EndMerge(point));
  marked_open_ = false;
  in_place_ = false;
  return absl::OkStatus();
}

absl::Status PagedTable::BeginMerge(int64_t sequence) {
  merging_again_ = merging_ != 0;
  merging_ = sequence;
  PROTOPAGE_RETURN_IF_ERROR(
      WriteHeader({1, static_cast<uint64_t>(main_.sequence),
                   static_cast<uint64_t>(main_.checkpoint), static_cast<uint64_t>(sequence)}));
  return file_->Sync();  // Before any row changes.
}

absl::Status PagedTable::MergeRows(absl::Span<const int64_t> rows,
                                   absl::Span<const char* const> records,
                                   absl::Span<const uint32_t> cleared) {
  return WriteMainRows(rows, records, cleared);
}

absl::Status PagedTable::EndMerge(const LogPoint& point) {
  {
    const std::lock_guard<std::mutex> lock(blocks_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(FlushBlocks());
  }
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  PROTOPAGE_RETURN_IF_ERROR(WriteHeader(
      {0, static_cast<uint64_t>(point.sequence), static_cast<uint64_t>(point.checkpoint), 0}));
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());
  main_ = point;
  merging_ = 0;
  merging_again_ = false;
  return absl::OkStatus();
}

absl::Status PagedTable::CopyTo(const std::string& path) {
  if (!Logged()) return CopyFileAtomically(file_system_, path_, path);
  const std::unique_lock<std::mutex> paused = options_.log->PauseMerges();
  std::vector<int64_t> rows;
  const uint32_t cleared = options_.log->Overlay(options_.log_table, &rows);
  // Beside `path`: its own name must not show a checkpoint of old.
  const std::string part = absl::StrCat(path, ".part");
  const auto copy = [&]() -> absl::Status {
    PROTOPAGE_RETURN_IF_ERROR(CopyFileAtomically(file_system_, path_, part));
    // A merge may have run beside the copying. What it wrote of segments that the log here has is
    // laid over.
    if (options_.read_only) PROTOPAGE_RETURN_IF_ERROR(CheckNotRetired());
    TableOptions options = options_;
    options.read_only = false;
    options.log = nullptr;
    PagedTable table(file_system_, part, options);
    PROTOPAGE_ASSIGN_OR_RETURN(table.file_, file_system_->Open(part, OpenMode::kReadWrite));
    PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(table.file_.get(), part));
    std::vector<std::string> names;
    for (const Column& column : columns_) names.push_back(column.name);
    PROTOPAGE_RETURN_IF_ERROR(table.Init(layout, names));
    for (int c = 0; c < static_cast<int>(columns_.size()); ++c) {
      if ((cleared >> c & 1) != 0) PROTOPAGE_RETURN_IF_ERROR(table.MergeClear(c));
    }
    std::vector<char> buffer(kLookUpRows * record_bytes_);
    std::vector<char*> records;
    for (int64_t i = 0; i < kLookUpRows; ++i) records.push_back(buffer.data() + i * record_bytes_);
    for (size_t begin = 0; begin < rows.size(); begin += kLookUpRows) {
      const auto batch = absl::MakeConstSpan(rows).subspan(begin, kLookUpRows);
      const auto batch_records = absl::MakeConstSpan(records).subspan(0, batch.size());
      PROTOPAGE_RETURN_IF_ERROR(ReadRows(batch, batch_records));
      PROTOPAGE_RETURN_IF_ERROR(table.WriteMainRows(batch, batch_records, {}));
    }
    PROTOPAGE_RETURN_IF_ERROR(table.EndMerge(LogPoint{0, 0}));
    return file_system_->Rename(part, path);
  };
  const absl::Status status = copy();
  if (!status.ok()) {
    file_system_->Remove(part).IgnoreError();
    return status;
  }
  return file_system_->SyncDirectory(DirectoryOf(path));
}

absl::Status PagedTable::CheckOwnFile() const {
  if (options_.read_only) return ReadOnlyError();
  if (options_.log == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": it is written through a log, which rows can join or leave no more"));
}

bool PagedTable::HasBytes(const std::string& dataset, int64_t width) const {
  const auto found = byte_datasets_.find(dataset);
  return found != byte_datasets_.end() && found->second.width == width;
}

absl::StatusOr<PagedTable::ByteDataset> PagedTable::FindBytes(const std::string& dataset) const {
  const auto found = byte_datasets_.find(dataset);
  if (found != byte_datasets_.end()) return found->second;
  return absl::NotFoundError(absl::StrCat(path_, ": it has no dataset '", dataset, "'"));
}

absl::StatusOr<std::vector<int64_t>> PagedTable::ReadMarks(const std::string& dataset) {
  if (!HasBytes(dataset, 1)) {
    return absl::DataLossError(absl::StrCat(path_, ": dataset '", dataset,
                                            "' is missing or not uint8 [", spec_.capacity, "]"));
  }
  const int64_t begin = byte_datasets_.at(dataset).offset, end = begin + spec_.num_rows;
  std::vector<int64_t> rows;
  std::vector<uint8_t> marks(int64_t{64} << 10);
  for (int64_t at = begin; at < end;) {
    PROTOPAGE_ASSIGN_OR_RETURN(const ByteRange data, file_->NextData(at));
    at = data.begin;
    while (at < std::min(data.end, end)) {
      const int64_t count =
          std::min(std::min(data.end, end) - at, static_cast<int64_t>(marks.size()));
      PROTOPAGE_RETURN_IF_ERROR(file_->ReadAt(at, marks.data(), count));
      for (int64_t i = 0; i < count; ++i) {
        if (marks[i] != 0) rows.push_back(at - begin + i);
      }
      at += count;
    }
  }
  return rows;
}

absl::Status PagedTable::WriteMarks(const std::string& dataset, absl::Span<const int64_t> rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOwnFile());
  if (!HasBytes(dataset, 1)) return ReadMarks(dataset).status();
  const int64_t offset = byte_datasets_.at(dataset).offset;
  const uint8_t mark = 1;
  std::vector<WritePiece> pieces;
  for (const int64_t row : rows) pieces.push_back({offset + row, &mark, 1});
  PROTOPAGE_RETURN_IF_ERROR(file_->WritePieces(pieces));
  return file_->Sync();
}

absl::Status PagedTable::ReadBytes(const std::string& dataset, int64_t first, int64_t count,
                                   char* cells) {
  PROTOPAGE_ASSIGN_OR_RETURN(const ByteDataset bytes, FindBytes(dataset));
  return file_->ReadAt(bytes.offset + first * bytes.width, cells, count * bytes.width);
}

absl::Status PagedTable::WriteBytes(const std::string& dataset, int64_t first, int64_t count,
                                    const char* cells) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOwnFile());
  PROTOPAGE_ASSIGN_OR_RETURN(const ByteDataset bytes, FindBytes(dataset));
  PROTOPAGE_RETURN_IF_ERROR(
      file_->WriteAt(bytes.offset + first * bytes.width, cells, count * bytes.width));
  return file_->Sync();
}

absl::Status PagedTable::SetNumRows(int64_t num_rows) {
  PROTOPAGE_RETURN_IF_ERROR(CheckOwnFile());
  if (num_rows < spec_.num_rows || num_rows > spec_.capacity) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", num_rows, " rows; allowed are ",
                                                   spec_.num_rows, " to ", spec_.capacity));
  }
  PROTOPAGE_RETURN_IF_ERROR(Flush());
  PROTOPAGE_RETURN_IF_ERROR(file_->Sync());  // No mark says that there are new rows.
  PROTOPAGE_RETURN_IF_ERROR(SetHdf5Integer(file_.get(), path_, "num_classes", num_rows));
  spec_.num_rows = num_rows;
  return absl::OkStatus();
}

absl::Status PagedTable::CopyLarger(FileSystem* file_system, const std::string& from,
                                    const std::string& to, int64_t capacity,
                                    const std::vector<TableColumn>& more) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> lock, LockTable(file_system, from));
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> source,
                             file_system->Open(from, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const Hdf5Layout layout, ReadHdf5Layout(source.get(), from));
  const Hdf5Dataset* checksums = layout.Find("checksums");
  const Hdf5Dataset* header = layout.Find("header");
  if (checksums == nullptr || header == nullptr || checksums->dims.size() != 2 ||
      header->bytes() != kHeaderWords * 8) {
    return absl::DataLossError(
        absl::StrCat(from, ": datasets 'header' and 'checksums' are not those of a table"));
  }
  std::array<uint64_t, 2> words;
  PROTOPAGE_RETURN_IF_ERROR(source->ReadAt(header->offset, words.data(), sizeof(words)));
  if (words[1] != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(from, ": it is the file of a run; take a copy of it (protopage export)"));
  }
  const int64_t old_capacity = checksums->dims[0];
  if (capacity < old_capacity) {
    return absl::InvalidArgumentError(
        absl::StrCat(from, ": capacity ", capacity, "; allowed are ", old_capacity, " and more"));
  }
  Hdf5Layout larger = layout;
  // As they lie in the file; reading ordered them by name.
  std::sort(larger.datasets.begin(), larger.datasets.end(),
            [](const Hdf5Dataset& a, const Hdf5Dataset& b) { return a.offset < b.offset; });
  for (Hdf5Dataset& dataset : larger.datasets) {
    if (dataset.name != "header" && dataset.dims[0] == old_capacity) dataset.dims[0] = capacity;
  }
  for (const TableColumn& column : more) {
    if (layout.Find(column.name) != nullptr) continue;
    larger.datasets.push_back(MakeDataset(column, capacity));
  }
  return ReplaceFile(
      file_system, to, [&](File* target, const std::string& temporary) -> absl::Status {
        PROTOPAGE_RETURN_IF_ERROR(CreateHdf5Layout(target, temporary, &larger));
        for (const Hdf5Dataset& dataset : larger.datasets) {
          const Hdf5Dataset* old = layout.Find(dataset.name);
          if (old == nullptr) continue;
          PROTOPAGE_RETURN_IF_ERROR(CopyData(
              source.get(), {old->offset, old->offset + old->bytes()}, target, dataset.offset));
        }
        return absl::OkStatus();
      });
}

TableStats PagedTable::stats() const {
  const std::lock_guard<std::mutex> lock(stats_mutex_);
  return stats_;
}

}  // namespace protopage
