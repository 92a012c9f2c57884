#include "protopage/prototypes/table/table_log.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "xxhash.h"

namespace protopage {
namespace {

constexpr char kSuffix[] = ".segment";
constexpr int kDigits = 10;
constexpr int kOffsetBits = 40;
constexpr int64_t kMaxSequence = (int64_t{1} << (63 - kOffsetBits)) - 1;
constexpr int64_t kMaxSegmentBytes = int64_t{1} << kOffsetBits;
constexpr uint32_t kVersion = 1;
// A slot of the index's hash map, 17 bytes, at the map's lowest load, 7/16 after it doubled.
constexpr int64_t kIndexBytesPerRow = 40;
// Bytes of records that a merge moves at once.
constexpr int64_t kMergeBytes = int64_t{4} << 20;
// Rows taken out of the index while it is locked.
constexpr size_t kEraseRows = 4096;

// The structures of FORMAT.md. All little-endian, as this program's machines are.
struct SegmentHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  int64_t sequence;
  int64_t parent;
  uint64_t tables;
  uint64_t reserved[2];
  uint64_t checksum;  // Of the bytes before.
};
static_assert(sizeof(SegmentHeader) == 64);
constexpr char kHeaderMagic[9] = "PPLOGSEG";

struct RecordHeader {
  char magic[4];
  uint32_t table;
  int64_t row;     // Or the column, in a clear record.
  uint32_t bytes;  // Of the payload.
  uint32_t reserved;
  uint64_t checksum;  // Of the bytes before, the segment and the payload.
};
static_assert(sizeof(RecordHeader) == 32);
constexpr char kRowMagic[5] = "ROW1";
constexpr char kClearMagic[5] = "CLR1";

struct DirectoryEntry {
  uint32_t table;
  uint32_t kind;  // 0: a column was cleared; 1: a row.
  int64_t row;
  int64_t offset;
};
static_assert(sizeof(DirectoryEntry) == 24);
constexpr uint32_t kClearKind = 0, kRowKind = 1;

struct CommitRecord {
  char magic[8];
  int64_t checkpoint;
  int64_t sequence;
  uint64_t tables;
  int64_t directory_offset;
  int64_t directory_entries;
  uint64_t directory_checksum;
  uint64_t checksum;  // Of the bytes before and the segment.
};
static_assert(sizeof(CommitRecord) == 64);
constexpr char kCommitMagic[9] = "PPCOMMIT";

uint64_t HeaderChecksum(const SegmentHeader& header) {
  return XXH3_64bits(&header, offsetof(SegmentHeader, checksum));
}
uint64_t CommitChecksum(const CommitRecord& commit, uint64_t salt) {
  return XXH3_64bits_withSeed(&commit, offsetof(CommitRecord, checksum), salt);
}
uint64_t RecordChecksum(const RecordHeader& header, const void* payload, uint64_t salt) {
  const uint64_t seed = XXH3_64bits_withSeed(&header, offsetof(RecordHeader, checksum), salt);
  return XXH3_64bits_withSeed(payload, header.bytes, seed);
}

int64_t SequenceOf(uint64_t place) { return static_cast<int64_t>(place >> kOffsetBits); }
int64_t OffsetOf(uint64_t place) { return static_cast<int64_t>(place & (kMaxSegmentBytes - 1)); }
uint64_t MakePlace(int64_t sequence, int64_t offset) {
  return static_cast<uint64_t>(sequence) << kOffsetBits | static_cast<uint64_t>(offset);
}

}  // namespace

struct TableLog::Segment {
  int64_t sequence = 0;
  int64_t parent = 0;          // Checkpoint it continues; -1 for none.
  uint64_t parent_tables = 0;  // Tables that that one covers.
  std::string path;
  std::unique_ptr<File> file;
  uint64_t salt = 0;  // Its header's checksum.
  int64_t end = 0;    // Bytes.
  // Of the commit record.
  bool committed = false;
  int64_t checkpoint = 0;
  uint64_t tables = 0;
  int64_t directory_offset = 0;
  int64_t directory_entries = 0;
  uint64_t directory_checksum = 0;

  absl::Status Damaged(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  }
  absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory() const {
    std::vector<DirectoryEntry> entries(directory_entries);
    const int64_t bytes = directory_entries * static_cast<int64_t>(sizeof(DirectoryEntry));
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(directory_offset, entries.data(), bytes));
    if (XXH3_64bits_withSeed(entries.data(), bytes, salt) != directory_checksum) {
      return Damaged("the segment's directory does not match its checksum: the file is damaged");
    }
    return entries;
  }
};

struct TableLog::Table {
  LoggedTable* logged = nullptr;
  LogPoint main;
  bool in_place = false;
  absl::flat_hash_map<int64_t, Place> places;
  Place cleared[kMaxColumns] = {};  // Cells of records before this place do not count.
};

TableLog::TableLog(FileSystem* file_system, std::string directory, const TableLogOptions& options)
    : file_system_(file_system),
      directory_(std::move(directory)),
      options_(options),
      tables_(kMaxTables) {}

TableLog::~TableLog() {
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    stopping_ = true;
  }
  wake_merger_.notify_all();
  if (merger_.joinable()) merger_.join();
}

std::string TableLog::SegmentPath(int64_t sequence) const {
  return JoinPath(directory_, absl::StrFormat("%0*d%s", kDigits, sequence, kSuffix));
}

absl::Status TableLog::LockDirectory() {
  const std::string path = JoinPath(directory_, "lock");
  PROTOPAGE_ASSIGN_OR_RETURN(lock_, file_system_->Open(path, OpenMode::kCreate));
  const absl::Status status = lock_->Lock();
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory_, ": already open for writing (", path, " is locked)"));
  }
  return status;
}

absl::StatusOr<std::vector<int64_t>> TableLog::ListSegments() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system_->List(directory_));
  std::vector<int64_t> sequences;
  for (absl::string_view name : names) {
    int64_t sequence = 0;
    if (absl::ConsumeSuffix(&name, kSuffix) && name.size() == kDigits &&
        absl::SimpleAtoi(name, &sequence)) {
      sequences.push_back(sequence);
    }
  }
  return sequences;  // The names are sorted.
}

absl::StatusOr<std::unique_ptr<TableLog>> TableLog::Create(FileSystem* file_system,
                                                           const std::string& directory,
                                                           const TableLogOptions& options) {
  std::unique_ptr<TableLog> log(new TableLog(file_system, directory, options));
  PROTOPAGE_RETURN_IF_ERROR(file_system->CreateDirectories(directory));
  PROTOPAGE_RETURN_IF_ERROR(log->LockDirectory());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> old, log->ListSegments());
  for (auto sequence = old.rbegin(); sequence != old.rend(); ++sequence) {
    PROTOPAGE_RETURN_IF_ERROR(file_system->Remove(log->SegmentPath(*sequence)));
  }
  PROTOPAGE_RETURN_IF_ERROR(file_system->SyncDirectory(DirectoryOf(directory)));
  log->head_ = LogPoint{0, -1};
  PROTOPAGE_RETURN_IF_ERROR(log->StartSegment(1));
  if (options.background) log->merger_ = std::thread([l = log.get()] { l->MergeLoop(); });
  return log;
}

absl::StatusOr<std::unique_ptr<TableLog>> TableLog::Open(FileSystem* file_system,
                                                         const std::string& directory,
                                                         int64_t checkpoint,
                                                         const TableLogOptions& options) {
  std::unique_ptr<TableLog> log(new TableLog(file_system, directory, options));
  if (!file_system->IsDirectory(directory)) {
    return absl::NotFoundError(absl::StrCat(directory, ": there is no such log"));
  }
  PROTOPAGE_RETURN_IF_ERROR(log->LockDirectory());
  PROTOPAGE_RETURN_IF_ERROR(log->Load(checkpoint, /*read_only=*/false));
  if (options.background) log->merger_ = std::thread([l = log.get()] { l->MergeLoop(); });
  return log;
}

absl::StatusOr<std::unique_ptr<TableLog>> TableLog::OpenReadOnly(FileSystem* file_system,
                                                                 const std::string& directory,
                                                                 int64_t checkpoint) {
  absl::Status status;
  // A writer may remove segments between the listing and the opening.
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::unique_ptr<TableLog> log(new TableLog(file_system, directory, {}));
    status = log->Load(checkpoint, /*read_only=*/true);
    if (status.ok()) return log;
    if (!absl::IsUnavailable(status)) break;
  }
  return status;
}

absl::StatusOr<std::shared_ptr<TableLog::Segment>> TableLog::OpenSegment(int64_t sequence,
                                                                         bool read_only) {
  auto segment = std::make_shared<Segment>();
  segment->sequence = sequence;
  segment->path = SegmentPath(sequence);
  PROTOPAGE_ASSIGN_OR_RETURN(
      segment->file,
      file_system_->Open(segment->path, read_only ? OpenMode::kRead : OpenMode::kReadWrite));
  PROTOPAGE_ASSIGN_OR_RETURN(segment->end, segment->file->Size());
  SegmentHeader header;
  if (segment->end < static_cast<int64_t>(sizeof(header))) {
    return segment->Damaged("the file ends in the segment's header: it is truncated");
  }
  PROTOPAGE_RETURN_IF_ERROR(segment->file->ReadAt(0, &header, sizeof(header)));
  if (std::memcmp(header.magic, kHeaderMagic, sizeof(header.magic)) != 0 ||
      header.checksum != HeaderChecksum(header) || header.sequence != sequence) {
    return segment->Damaged("the segment's header is damaged");
  }
  if (header.version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(segment->path, ": format version ",
                                                      header.version, " is newer than ", kVersion,
                                                      ", the newest that this program reads"));
  }
  segment->salt = header.checksum;
  segment->parent = header.parent;
  segment->parent_tables = header.tables;
  CommitRecord commit;
  const int64_t at = segment->end - static_cast<int64_t>(sizeof(commit));
  if (at < static_cast<int64_t>(sizeof(header))) return segment;
  PROTOPAGE_RETURN_IF_ERROR(segment->file->ReadAt(at, &commit, sizeof(commit)));
  if (std::memcmp(commit.magic, kCommitMagic, sizeof(commit.magic)) != 0 ||
      commit.checksum != CommitChecksum(commit, segment->salt) || commit.sequence != sequence) {
    return segment;  // Never committed, or truncated or damaged since: who needs it will say so.
  }
  segment->committed = true;
  segment->checkpoint = commit.checkpoint;
  segment->tables = commit.tables;
  segment->directory_offset = commit.directory_offset;
  segment->directory_entries = commit.directory_entries;
  segment->directory_checksum = commit.directory_checksum;
  return segment;
}

absl::Status TableLog::LoadIndex(const Segment& segment) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, segment.ReadDirectory());
  for (const DirectoryEntry& entry : entries) {
    const bool clear = entry.kind == kClearKind;
    if (entry.table >= kMaxTables || (clear && entry.row >= kMaxColumns) || entry.row < 0) {
      return segment.Damaged("the segment's directory names a table or row that cannot be");
    }
    Table& table = tables_[entry.table];
    const Place place = MakePlace(segment.sequence, entry.offset);
    if (clear) {
      table.cleared[entry.row] = place;
    } else {
      table.places[entry.row] = place;
    }
  }
  return absl::OkStatus();
}

absl::Status TableLog::Load(int64_t checkpoint, bool read_only) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, ListSegments());
  std::vector<std::shared_ptr<Segment>> segments;  // Null where it could not be read.
  // What to say when something that is needed is missing.
  absl::Status damage;
  bool found = false;
  for (const int64_t sequence : sequences) {
    absl::StatusOr<std::shared_ptr<Segment>> segment = OpenSegment(sequence, read_only);
    if (absl::IsNotFound(segment.status()))
      return absl::UnavailableError(segment.status().message());
    if (!segment.ok() && !absl::IsDataLoss(segment.status())) return segment.status();
    segments.push_back(segment.ok() ? *segment : nullptr);
    if (!segment.ok()) {
      damage = segment.status();
      continue;
    }
    const Segment& s = **segment;
    if (s.parent == checkpoint && checkpoint >= 0) {
      found = true;
      head_ = LogPoint{sequence - 1, checkpoint};
      head_tables_ = s.parent_tables;
    }
    if (s.committed && s.checkpoint == checkpoint) {
      found = true;
      head_ = LogPoint{sequence, checkpoint};
      head_tables_ = s.tables;
    }
    if (found) break;
    if (!s.committed && s.parent < checkpoint) {
      damage = s.Damaged(absl::StrCat("the commit record, after checkpoint ", s.parent,
                                      ", is missing or damaged"));
    }
  }
  if (!found) {
    const std::string message =
        absl::StrCat(directory_, ": no segment of the log holds checkpoint ", checkpoint);
    if (damage.ok()) return absl::NotFoundError(message);
    return absl::DataLossError(absl::StrCat(message, " (", damage.message(), ")"));
  }
  // The run of segments that ends there. Older ones, before a gap, were merged, but their removal
  // was interrupted: Attach finds out when that is not so.
  int64_t wanted = head_.sequence;
  for (auto s = segments.rbegin(); s != segments.rend(); ++s) {
    if (*s == nullptr) continue;
    if ((*s)->sequence > head_.sequence) continue;
    const bool chained = segments_.empty() || segments_.front()->parent == (*s)->checkpoint;
    if ((*s)->sequence != wanted || !(*s)->committed || !chained) break;
    segments_.push_front(*s);
    --wanted;
  }
  gap_ = damage.ok() ? absl::StrCat(SegmentPath(wanted), " is missing")
                     : std::string(damage.message());
  for (const auto& segment : segments_) PROTOPAGE_RETURN_IF_ERROR(LoadIndex(*segment));
  if (read_only) return absl::OkStatus();

  // The newest first, so that what an interruption leaves is a log still.
  for (auto sequence = sequences.rbegin(); sequence != sequences.rend(); ++sequence) {
    if (*sequence <= head_.sequence + 1) break;
    PROTOPAGE_RETURN_IF_ERROR(file_system_->Remove(SegmentPath(*sequence)));
  }
  const std::lock_guard<std::mutex> lock(append_mutex_);
  return StartSegment(head_.sequence + 1);
}

absl::Status TableLog::StartSegment(int64_t sequence) {
  if (sequence > kMaxSequence) {
    return absl::ResourceExhaustedError(
        absl::StrCat(directory_, ": the log has had all of its ", kMaxSequence, " segments"));
  }
  auto segment = std::make_shared<Segment>();
  segment->sequence = sequence;
  segment->path = SegmentPath(sequence);
  SegmentHeader header = {};
  std::memcpy(header.magic, kHeaderMagic, sizeof(header.magic));
  header.version = kVersion;
  header.header_bytes = sizeof(header);
  header.sequence = sequence;
  header.parent = head_.checkpoint;
  header.tables = head_tables_;
  header.checksum = HeaderChecksum(header);
  segment->salt = header.checksum;
  segment->parent = header.parent;
  segment->parent_tables = header.tables;
  segment->end = sizeof(header);
  // By way of another name, so that a segment has its header whenever it has its name: once its
  // parent is removed, this header alone names the checkpoint.
  const std::string temporary = absl::StrCat(segment->path, ".tmp");
  PROTOPAGE_ASSIGN_OR_RETURN(segment->file, file_system_->Open(temporary, OpenMode::kCreate));
  PROTOPAGE_RETURN_IF_ERROR(segment->file->WriteAt(0, &header, sizeof(header)));
  PROTOPAGE_RETURN_IF_ERROR(segment->file->Sync());
  PROTOPAGE_RETURN_IF_ERROR(file_system_->Rename(temporary, segment->path));
  PROTOPAGE_RETURN_IF_ERROR(file_system_->SyncDirectory(directory_));
  tail_dirty_ = false;
  const std::lock_guard<std::mutex> lock(index_mutex_);
  current_ = std::move(segment);
  current_rows_ = 0;
  return absl::OkStatus();
}

LogPoint TableLog::head() const {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  return head_;
}

bool TableLog::HasTable(int table) const {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  return head_.sequence > 0 && (head_tables_ >> table & 1) != 0;
}

absl::Status TableLog::Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                              bool* in_place) {
  PROTOPAGE_CHECK(table >= 0 && table < kMaxTables);
  const std::lock_guard<std::mutex> lock(index_mutex_);
  Table& t = tables_[table];
  PROTOPAGE_CHECK(t.logged == nullptr);
  const bool covered = head_.sequence > 0 && (head_tables_ >> table & 1) != 0;
  const bool read_only = current_ == nullptr;
  const auto bad = [&](absl::StatusCode code, absl::string_view what) {
    return absl::Status(code, absl::StrCat(logged->path(), ": ", what));
  };
  if (!covered && (main.sequence > 0 || read_only)) {
    return bad(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("the file is not of checkpoint ", head_.checkpoint, " of ", directory_));
  }
  if (covered) {
    if (main.sequence == 0) {
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat("the file does not belong to ", directory_, ", whose checkpoint ",
                              head_.checkpoint, " needs it"));
    }
    if (std::max(main.sequence, merging) > head_.sequence) {
      return bad(
          read_only ? absl::StatusCode::kAborted : absl::StatusCode::kFailedPrecondition,
          absl::StrCat("the file is past checkpoint ", head_.checkpoint, ", which was retired"));
    }
    const int64_t first = segments_.empty() ? head_.sequence + 1 : segments_.front()->sequence;
    if (first > main.sequence + 1) {
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat("the file equals checkpoint ", main.checkpoint,
                              " and cannot be brought to ", head_.checkpoint, ": ", gap_));
    }
  }
  t.logged = logged;
  t.main = main;
  t.in_place = !covered;
  *in_place = t.in_place;
  return absl::OkStatus();
}

void TableLog::Detach(int table) {
  const std::lock_guard<std::mutex> merging(merge_mutex_);
  const std::lock_guard<std::mutex> lock(index_mutex_);
  tables_[table].logged = nullptr;
}

absl::Status TableLog::Poison(const absl::Status& status) {
  poison_ = absl::Status(status.code(),
                         absl::StrCat(status.message(), "; the log ", directory_,
                                      " takes no more writes, open its last checkpoint again"));
  return poison_;
}

absl::Status TableLog::Append(int table, absl::Span<const int64_t> rows,
                              absl::Span<const char* const> records) {
  if (rows.empty()) return absl::OkStatus();
  const std::lock_guard<std::mutex> appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr && tables_[table].logged != nullptr);
  const int64_t bytes = tables_[table].logged->record_bytes();
  Segment& segment = *current_;  // Only Commit changes it, under append_mutex_.
  const int64_t step = static_cast<int64_t>(sizeof(RecordHeader)) + bytes;
  const int64_t total = step * static_cast<int64_t>(rows.size());
  if (segment.end + total > kMaxSegmentBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(segment.path, ": the segment is full; make a checkpoint"));
  }
  std::vector<RecordHeader> headers(rows.size());
  std::vector<WritePiece> pieces;
  pieces.reserve(2 * rows.size());
  int64_t at = segment.end;
  for (size_t i = 0; i < rows.size(); ++i, at += step) {
    RecordHeader& header = headers[i];
    header = {};
    std::memcpy(header.magic, kRowMagic, sizeof(header.magic));
    header.table = table;
    header.row = rows[i];
    header.bytes = static_cast<uint32_t>(bytes);
    header.checksum = RecordChecksum(header, records[i], segment.salt);
    pieces.push_back({at, &header, sizeof(header)});
    pieces.push_back({at + static_cast<int64_t>(sizeof(header)), records[i], bytes});
  }
  if (const absl::Status status = segment.file->WritePieces(pieces); !status.ok()) {
    tail_dirty_ = true;
    return status;
  }
  const std::lock_guard<std::mutex> lock(index_mutex_);
  absl::flat_hash_map<int64_t, Place>& places = tables_[table].places;
  at = segment.end;
  for (size_t i = 0; i < rows.size(); ++i, at += step) {
    Place& place = places[rows[i]];
    if (SequenceOf(place) != segment.sequence) ++current_rows_;
    place = MakePlace(segment.sequence, at);
  }
  segment.end = at;
  stats_.rows_appended += static_cast<int64_t>(rows.size());
  return absl::OkStatus();
}

absl::Status TableLog::AppendClear(int table, int column) {
  const std::lock_guard<std::mutex> appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr && column < kMaxColumns);
  Segment& segment = *current_;
  RecordHeader header = {};
  std::memcpy(header.magic, kClearMagic, sizeof(header.magic));
  header.table = table;
  header.row = column;
  header.checksum = RecordChecksum(header, nullptr, segment.salt);
  if (const absl::Status status = segment.file->WriteAt(segment.end, &header, sizeof(header));
      !status.ok()) {
    tail_dirty_ = true;
    return status;
  }
  const std::lock_guard<std::mutex> lock(index_mutex_);
  tables_[table].cleared[column] = MakePlace(segment.sequence, segment.end);
  segment.end += sizeof(header);
  return absl::OkStatus();
}

bool TableLog::Touches(int table) const {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  const Table& t = tables_[table];
  return !t.places.empty() ||
         std::any_of(std::begin(t.cleared), std::end(t.cleared), [](Place p) { return p != 0; });
}

uint32_t TableLog::Overlay(int table, std::vector<int64_t>* rows) const {
  uint32_t cleared = 0;
  const std::lock_guard<std::mutex> lock(index_mutex_);
  const Table& t = tables_[table];
  rows->clear();
  rows->reserve(t.places.size());
  for (const auto& [row, place] : t.places) rows->push_back(row);
  std::sort(rows->begin(), rows->end());
  for (int c = 0; c < kMaxColumns; ++c) {
    if (SequenceOf(t.cleared[c]) > t.main.sequence) cleared |= uint32_t{1} << c;
  }
  return cleared;
}

absl::Status TableLog::ReadRecords(int table, int64_t bytes,
                                   absl::Span<const std::shared_ptr<Segment>> segments,
                                   absl::Span<const std::pair<Place, size_t>> wanted,
                                   absl::Span<const int64_t> rows,
                                   absl::Span<char* const> records) {
  constexpr auto kHeaderBytes = static_cast<int64_t>(sizeof(RecordHeader));
  std::vector<RecordHeader> headers(wanted.size());
  std::vector<ReadPiece> pieces;
  size_t begin = 0;
  for (const auto& segment : segments) {
    pieces.clear();
    size_t end = begin;
    for (; end < wanted.size() && SequenceOf(wanted[end].first) == segment->sequence; ++end) {
      const int64_t offset = OffsetOf(wanted[end].first);
      pieces.push_back({offset, &headers[end], kHeaderBytes});
      pieces.push_back({offset + kHeaderBytes, records[wanted[end].second], bytes});
    }
    PROTOPAGE_RETURN_IF_ERROR(segment->file->ReadPieces(pieces));
    for (; begin < end; ++begin) {
      const auto& [place, i] = wanted[begin];
      const RecordHeader& header = headers[begin];
      if (std::memcmp(header.magic, kRowMagic, sizeof(header.magic)) != 0 ||
          header.table != static_cast<uint32_t>(table) || header.row != rows[i] ||
          header.bytes != bytes ||
          header.checksum != RecordChecksum(header, records[i], segment->salt)) {
        return segment->Damaged(absl::StrCat("the record at byte ", OffsetOf(place), ", row ",
                                             rows[i], " of table ", table,
                                             ", does not match its checksum: the file is damaged"));
      }
    }
  }
  PROTOPAGE_CHECK(begin == wanted.size());
  return absl::OkStatus();
}

absl::Status TableLog::Read(int table, absl::Span<const int64_t> rows,
                            absl::Span<char* const> records, std::vector<Found>* found) {
  found->assign(rows.size(), Found());
  std::vector<std::pair<Place, size_t>> wanted;
  // Kept open, whatever a merge removes meanwhile.
  std::vector<std::shared_ptr<Segment>> segments;
  int64_t bytes = 0;
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    const Table& t = tables_[table];
    bytes = t.logged->record_bytes();
    bool any_cleared = false;
    Place main_cleared[kMaxColumns];  // Of rows in the main file, which is at the end of a segment.
    for (int c = 0; c < kMaxColumns; ++c) {
      any_cleared |= t.cleared[c] != 0;
      main_cleared[c] = SequenceOf(t.cleared[c]) > t.main.sequence ? t.cleared[c] : 0;
    }
    if (t.places.empty() && !any_cleared) return absl::OkStatus();
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto place = t.places.find(rows[i]);
      const Place at = place == t.places.end() ? 0 : place->second;
      if (at != 0) wanted.emplace_back(at, i);
      (*found)[i].in_log = at != 0;
      for (int c = 0; any_cleared && c < kMaxColumns; ++c) {
        if (at < (at != 0 ? t.cleared[c] : main_cleared[c])) {
          (*found)[i].cleared |= uint32_t{1} << c;
        }
      }
    }
    std::sort(wanted.begin(), wanted.end());
    int64_t last = 0;
    for (const auto& [place, i] : wanted) {
      const int64_t sequence = SequenceOf(place);
      if (sequence == last) continue;
      last = sequence;
      segments.push_back(
          sequence > head_.sequence ? current_ : segments_[sequence - segments_.front()->sequence]);
    }
  }
  return ReadRecords(table, bytes, segments, wanted, rows, records);
}

std::vector<char> TableLog::MakeTail(int64_t checkpoint, uint64_t tables) {
  const Segment& segment = *current_;
  std::vector<DirectoryEntry> entries;
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    entries.reserve(current_rows_ + 16);
    for (uint32_t t = 0; t < kMaxTables; ++t) {
      for (int64_t c = 0; c < kMaxColumns; ++c) {
        const Place place = tables_[t].cleared[c];
        if (SequenceOf(place) == segment.sequence) {
          entries.push_back({t, kClearKind, c, OffsetOf(place)});
        }
      }
      for (const auto& [row, place] : tables_[t].places) {
        if (SequenceOf(place) == segment.sequence) {
          entries.push_back({t, kRowKind, row, OffsetOf(place)});
        }
      }
    }
  }
  std::sort(entries.begin(), entries.end(), [](const DirectoryEntry& a, const DirectoryEntry& b) {
    return std::tie(a.table, a.kind, a.row) < std::tie(b.table, b.kind, b.row);
  });
  const size_t bytes = entries.size() * sizeof(DirectoryEntry);
  CommitRecord commit = {};
  std::memcpy(commit.magic, kCommitMagic, sizeof(commit.magic));
  commit.checkpoint = checkpoint;
  commit.sequence = segment.sequence;
  commit.tables = tables;
  commit.directory_offset = segment.end;
  commit.directory_entries = static_cast<int64_t>(entries.size());
  commit.directory_checksum = XXH3_64bits_withSeed(entries.data(), bytes, segment.salt);
  commit.checksum = CommitChecksum(commit, segment.salt);
  std::vector<char> tail(bytes + sizeof(commit));
  if (bytes > 0) std::memcpy(tail.data(), entries.data(), bytes);
  std::memcpy(tail.data() + bytes, &commit, sizeof(commit));
  return tail;
}

absl::Status TableLog::Commit(int64_t checkpoint) {
  const std::lock_guard<std::mutex> appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr);
  if (checkpoint < 0 || checkpoint <= head_.checkpoint) {
    return absl::InvalidArgumentError(absl::StrCat(directory_, ": checkpoint ", checkpoint,
                                                   " does not come after ", head_.checkpoint,
                                                   ", the newest of the log"));
  }
  const LogPoint point{current_->sequence, checkpoint};
  uint64_t tables = head_tables_;
  for (int t = 0; t < kMaxTables; ++t) {
    Table& table = tables_[t];
    if (table.logged == nullptr || !table.in_place) continue;
    if (const absl::Status status = table.logged->FinishInPlace(point); !status.ok()) {
      return Poison(status);
    }
    tables |= uint64_t{1} << t;
  }
  const std::vector<char> tail = MakeTail(checkpoint, tables);
  // The commit record must be the last of the file.
  if (tail_dirty_) PROTOPAGE_RETURN_IF_ERROR(current_->file->Truncate(current_->end));
  tail_dirty_ = true;  // Unless all goes well, and a new segment begins.
  PROTOPAGE_RETURN_IF_ERROR(current_->file->WriteAt(current_->end, tail.data(), tail.size()));
  if (const absl::Status status = current_->file->Sync(); !status.ok()) return Poison(status);
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    CommitRecord commit;
    std::memcpy(&commit, tail.data() + tail.size() - sizeof(commit), sizeof(commit));
    Segment& segment = *current_;
    segment.end += static_cast<int64_t>(tail.size());
    segment.committed = true;
    segment.checkpoint = checkpoint;
    segment.tables = tables;
    segment.directory_offset = commit.directory_offset;
    segment.directory_entries = commit.directory_entries;
    segment.directory_checksum = commit.directory_checksum;
    segments_.push_back(current_);
    head_ = point;
    head_tables_ = tables;
    for (Table& table : tables_) {
      if (table.logged == nullptr || !table.in_place) continue;
      table.in_place = false;
      table.main = point;
    }
  }
  const absl::Status started = StartSegment(point.sequence + 1);
  return started.ok() ? started : Poison(started);
}

bool TableLog::wants_checkpoint() const {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  if (current_ == nullptr) return false;
  int64_t rows = 0;
  for (const Table& table : tables_) rows += static_cast<int64_t>(table.places.size());
  const int64_t others = rows - current_rows_;
  const auto share = static_cast<int64_t>(2 * (segments_.size() + 1));
  // What the others leave, but not so little that every few steps make a checkpoint.
  const int64_t room =
      std::max(options_.index_bytes - others * kIndexBytesPerRow, options_.index_bytes / share);
  return current_rows_ * kIndexBytesPerRow > room || current_->end > options_.segment_bytes;
}

TableLogStats TableLog::stats() const {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  TableLogStats stats = stats_;
  for (const auto& segment : segments_) stats.bytes += segment->end;
  stats.segments = static_cast<int64_t>(segments_.size());
  if (current_ != nullptr) {
    stats.bytes += current_->end;
    ++stats.segments;
  }
  for (const Table& table : tables_) stats.index_rows += static_cast<int64_t>(table.places.size());
  stats.index_bytes = stats.index_rows * kIndexBytesPerRow;
  return stats;
}

// --- Merging ---------------------------------------------------------------------------------

void TableLog::SetOldest(int64_t oldest) {
  const std::lock_guard<std::mutex> lock(index_mutex_);
  for (const auto& segment : segments_) {
    if (segment->checkpoint <= oldest) retired_ = std::max(retired_, segment->sequence);
  }
}

bool TableLog::MergeIsDue(bool any_size) const {
  int64_t bytes = 0, rows = 0;
  for (const auto& segment : segments_) {
    if (segment->sequence <= retired_) {
      bytes += segment->end;
      rows += segment->directory_entries;
    }
  }
  if (bytes == 0) return false;
  return any_size || bytes >= options_.merge_bytes ||
         rows * kIndexBytesPerRow >= options_.index_bytes / 4;
}

absl::Status TableLog::Retire(int64_t oldest) {
  SetOldest(oldest);
  if (!options_.background) {
    {
      const std::lock_guard<std::mutex> lock(index_mutex_);
      if (!MergeIsDue(false)) return absl::OkStatus();
    }
    const std::lock_guard<std::mutex> merging(merge_mutex_);
    return MergeRetired();
  }
  const std::lock_guard<std::mutex> lock(index_mutex_);
  merge_wanted_ = MergeIsDue(false);
  if (merge_wanted_) wake_merger_.notify_one();
  return std::exchange(merge_error_, absl::OkStatus());
}

absl::Status TableLog::RetireNow(int64_t oldest) {
  SetOldest(oldest);
  const std::lock_guard<std::mutex> merging(merge_mutex_);
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    merge_error_ = absl::OkStatus();  // Tried again.
    if (!MergeIsDue(true)) return absl::OkStatus();
  }
  return MergeRetired();
}

void TableLog::MergeLoop() {
  while (true) {
    {
      std::unique_lock<std::mutex> lock(index_mutex_);
      wake_merger_.wait(lock, [this] { return stopping_ || merge_wanted_; });
      if (stopping_) return;
      merge_wanted_ = false;
    }
    const std::lock_guard<std::mutex> merging(merge_mutex_);
    const absl::Status status = MergeRetired();
    const std::lock_guard<std::mutex> lock(index_mutex_);
    merge_error_ = status;
  }
}

absl::Status TableLog::MergeRetired() {
  std::vector<std::shared_ptr<Segment>> segments;
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    for (const auto& segment : segments_) {
      if (segment->sequence <= retired_) segments.push_back(segment);
    }
  }
  if (segments.empty()) return absl::OkStatus();
  for (int t = 0; t < kMaxTables; ++t) PROTOPAGE_RETURN_IF_ERROR(MergeTable(t, segments));
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    if (stopping_) return absl::OkStatus();
    while (!segments_.empty() && segments_.front()->sequence <= segments.back()->sequence) {
      segments_.pop_front();
    }
  }
  // With what an interrupted removal left before them.
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, ListSegments());
  for (const int64_t sequence : sequences) {
    if (sequence > segments.back()->sequence) break;
    PROTOPAGE_RETURN_IF_ERROR(file_system_->Remove(SegmentPath(sequence)));
  }
  return file_system_->SyncDirectory(directory_);
}

absl::Status TableLog::MergeTable(int t, absl::Span<const std::shared_ptr<Segment>> segments) {
  const LogPoint point{segments.back()->sequence, segments.back()->checkpoint};
  LoggedTable* logged;
  LogPoint main;
  {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    logged = tables_[t].logged;
    main = tables_[t].main;
  }
  // The newest place of each row, and of each column's clearing, in these segments.
  std::vector<std::pair<int64_t, Place>> rows;
  Place cleared[kMaxColumns] = {};
  bool touched = false;
  for (const auto& segment : segments) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, segment->ReadDirectory());
    for (const DirectoryEntry& entry : entries) {
      if (entry.table != static_cast<uint32_t>(t)) continue;
      touched = true;
      const Place place = MakePlace(segment->sequence, entry.offset);
      if (entry.kind == kClearKind) {
        cleared[entry.row] = place;
      } else {
        rows.emplace_back(entry.row, place);
      }
    }
  }
  if (logged == nullptr) {
    if (!touched) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        directory_, ": table ", t, " has changes to merge into its file, but is not open"));
  }
  // Places of one row ascend by segment: the last one counts.
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + 1 == rows.size() || rows[i + 1].first != rows[i].first) rows[kept++] = rows[i];
  }
  rows.resize(kept);

  // Segments may have been merged before, and the removal of their files interrupted.
  if (main.sequence < point.sequence) {
    PROTOPAGE_RETURN_IF_ERROR(MergeRows(t, logged, point, segments, rows, cleared));
    const std::lock_guard<std::mutex> lock(index_mutex_);
    if (stopping_) return absl::OkStatus();
    tables_[t].main = point;  // From here on, clearings so far do not count for its rows.
  }
  // The index no longer points to the segments; then the clearings go that records there were
  // compared with.
  for (size_t begin = 0; begin < rows.size(); begin += kEraseRows) {
    const std::lock_guard<std::mutex> lock(index_mutex_);
    auto& places = tables_[t].places;
    const size_t end = std::min(rows.size(), begin + kEraseRows);
    for (size_t i = begin; i < end; ++i) {
      const auto found = places.find(rows[i].first);
      if (found != places.end() && SequenceOf(found->second) <= point.sequence) {
        places.erase(found);
      }
    }
  }
  const std::lock_guard<std::mutex> lock(index_mutex_);
  for (Place& place : tables_[t].cleared) {
    if (SequenceOf(place) <= point.sequence) place = 0;
  }
  return absl::OkStatus();
}

absl::Status TableLog::MergeRows(int t, LoggedTable* logged, const LogPoint& point,
                                 absl::Span<const std::shared_ptr<Segment>> segments,
                                 absl::Span<const std::pair<int64_t, Place>> rows,
                                 absl::Span<const Place> cleared) {
  PROTOPAGE_RETURN_IF_ERROR(logged->BeginMerge(point.sequence));
  for (int c = 0; c < kMaxColumns; ++c) {
    if (cleared[c] != 0) PROTOPAGE_RETURN_IF_ERROR(logged->MergeClear(c));
  }
  const int64_t bytes = logged->record_bytes();
  const auto batch = static_cast<size_t>(
      std::max<int64_t>(16, kMergeBytes / (bytes + static_cast<int64_t>(sizeof(RecordHeader)))));
  std::vector<char> buffer(batch * bytes);
  std::vector<std::pair<Place, size_t>> order;
  std::vector<int64_t> ids;
  std::vector<char*> records;
  std::vector<uint32_t> masks;
  for (size_t begin = 0; begin < rows.size(); begin += batch) {
    {
      const std::lock_guard<std::mutex> lock(index_mutex_);
      if (stopping_) return absl::OkStatus();  // Left to the next time.
    }
    const size_t count = std::min(batch, rows.size() - begin);
    order.clear();
    ids.clear();
    records.clear();
    masks.assign(count, 0);
    for (size_t i = 0; i < count; ++i) {
      const auto& [row, place] = rows[begin + i];
      order.emplace_back(place, i);
      ids.push_back(row);
      records.push_back(buffer.data() + i * bytes);
      for (int c = 0; c < kMaxColumns; ++c) {
        if (place < cleared[c]) masks[i] |= uint32_t{1} << c;
      }
    }
    std::sort(order.begin(), order.end());
    PROTOPAGE_RETURN_IF_ERROR(ReadRecords(t, bytes, segments, order, ids, records));
    PROTOPAGE_RETURN_IF_ERROR(logged->MergeRows(ids, records, masks));
  }
  PROTOPAGE_RETURN_IF_ERROR(logged->EndMerge(point));
  const std::lock_guard<std::mutex> lock(index_mutex_);
  stats_.rows_merged += static_cast<int64_t>(rows.size());
  return absl::OkStatus();
}

}  // namespace protopage
