#include "protopage/prototypes/table/log_segment.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>

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
// Version 1 has zeros in place of the nonce and what follows it.
constexpr uint32_t kVersion = 2;

// The structures of FORMAT.md. All are little-endian, as are the machines that this program runs
// on.
struct SegmentHeader {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  int64_t sequence;
  int64_t parent;
  uint64_t tables;
  uint64_t nonce;
  uint32_t partitions;  // Of the classes.
  uint32_t partition;   // That the log is of.
  uint64_t checksum;    // Of the bytes before.
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
constexpr auto kRecordHeaderBytes = static_cast<int64_t>(sizeof(RecordHeader));

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

SegmentHeader MakeHeader(int64_t sequence, const LogParent& parent, uint64_t nonce) {
  SegmentHeader header = {};
  std::memcpy(header.magic, kHeaderMagic, sizeof(header.magic));
  header.version = kVersion;
  header.header_bytes = sizeof(header);
  header.sequence = sequence;
  header.parent = parent.checkpoint;
  header.tables = parent.tables;
  header.nonce = nonce;
  header.partitions = 1;
  header.partition = 0;
  header.checksum = HeaderChecksum(header);
  return header;
}

RecordHeader MakeRecordHeader(const char* magic, int table, int64_t row, const void* payload,
                              int64_t bytes, uint64_t salt) {
  RecordHeader header = {};
  std::memcpy(header.magic, magic, sizeof(header.magic));
  header.table = table;
  header.row = row;
  header.bytes = static_cast<uint32_t>(bytes);
  header.checksum = RecordChecksum(header, payload, salt);
  return header;
}

}  // namespace

std::string LogSegment::Path(const std::string& directory, int64_t sequence) {
  return JoinPath(directory, absl::StrFormat("%0*d%s", kDigits, sequence, kSuffix));
}

int64_t LogSegment::SequenceOfName(absl::string_view name) {
  absl::string_view digits = name;
  int64_t sequence = 0;
  if (!absl::ConsumeSuffix(&digits, kSuffix) || !absl::SimpleAtoi(digits, &sequence)) return 0;
  if (sequence < 1 || sequence > kMaxLogSequence) return 0;
  return BaseName(Path("", sequence)) == name ? sequence : 0;
}

absl::StatusOr<std::vector<int64_t>> LogSegment::List(FileSystem* file_system,
                                                      const std::string& directory) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system->List(directory));
  std::vector<int64_t> sequences;
  for (const std::string& name : names) {
    const int64_t sequence = SequenceOfName(name);
    if (sequence > 0 && !file_system->IsDirectory(JoinPath(directory, name))) {
      sequences.push_back(sequence);
    }
  }
  std::sort(sequences.begin(), sequences.end());
  return sequences;
}

LogSegment::LogSegment(std::shared_ptr<LogFiles> files, int64_t sequence)
    : files_(std::move(files)), sequence_(sequence), path_(Path(files_->directory(), sequence)) {}

LogSegment::~LogSegment() { files_->Close(sequence_); }

absl::Status LogSegment::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(path_, ": ", what));
}

absl::StatusOr<std::shared_ptr<LogSegment>> LogSegment::Create(
    const std::shared_ptr<LogFiles>& files, int64_t sequence, const LogParent& parent,
    uint64_t nonce) {
  std::shared_ptr<LogSegment> segment(new LogSegment(files, sequence));
  FileSystem* const fs = files->file_system();
  const SegmentHeader header = MakeHeader(sequence, parent, nonce);
  segment->salt_ = header.checksum;
  segment->parent_ = parent;
  segment->end_ = sizeof(header);
  // The file gets its name after its header is durable, so that a segment with a name always has a
  // header: once the segment before it is removed, this header alone names the checkpoint.
  const std::string temporary = absl::StrCat(segment->path_, ".tmp");
  PROTOPAGE_ASSIGN_OR_RETURN(segment->writing_, fs->Open(temporary, OpenMode::kCreate));
  {
    const MutexLock lock(segment->mutex_);
    segment->reading_ = segment->writing_;
  }
  PROTOPAGE_RETURN_IF_ERROR(segment->writing_->WriteAt(0, &header, sizeof(header)));
  PROTOPAGE_RETURN_IF_ERROR(segment->writing_->Sync());
  PROTOPAGE_RETURN_IF_ERROR(fs->Rename(temporary, segment->path_));
  PROTOPAGE_RETURN_IF_ERROR(fs->SyncDirectory(files->directory()));
  return segment;
}

absl::StatusOr<std::shared_ptr<LogSegment>> LogSegment::Open(const std::shared_ptr<LogFiles>& files,
                                                             int64_t sequence) {
  std::shared_ptr<LogSegment> segment(new LogSegment(files, sequence));
  const auto any = [](File*) { return absl::OkStatus(); };
  PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file,
                             files->Open(sequence, segment->path_, any));
  PROTOPAGE_RETURN_IF_ERROR(segment->ReadHeader(file.get()));
  PROTOPAGE_RETURN_IF_ERROR(segment->ReadCommit(file.get()));
  return segment;
}

absl::StatusOr<std::shared_ptr<File>> LogSegment::OpenFile() const {
  {
    const MutexLock lock(mutex_);
    if (reading_ != nullptr) return reading_;
  }
  return files_->Open(sequence_, path_, [this](File* file) { return CheckSame(file); });
}

absl::Status LogSegment::CheckSame(File* file) const {
  SegmentHeader header;
  const absl::Status status = file->ReadAt(0, &header, sizeof(header));
  if (!status.ok() && !absl::IsOutOfRange(status)) return status;
  if (status.ok() && header.checksum == salt_) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path_, ": the segment was replaced by another one"));
}

absl::Status LogSegment::ReadHeader(File* file) {
  PROTOPAGE_ASSIGN_OR_RETURN(end_, file->Size());
  SegmentHeader header;
  if (end_ < static_cast<int64_t>(sizeof(header))) {
    return Damaged("the file ends in the segment's header: it is truncated");
  }
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &header, sizeof(header)));
  if (std::memcmp(header.magic, kHeaderMagic, sizeof(header.magic)) != 0 ||
      header.checksum != HeaderChecksum(header) || header.sequence != sequence_) {
    return Damaged("the segment's header is damaged");
  }
  if (header.version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": format version ", header.version,
                                                      " is newer than ", kVersion,
                                                      ", the newest that this program reads"));
  }
  if (header.version > 1 && (header.partitions != 1 || header.partition != 0)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": it is of partition ", header.partition, " of ", header.partitions,
                     "; this program reads logs of one partition"));
  }
  salt_ = header.checksum;
  parent_ = {header.parent, header.tables};
  return absl::OkStatus();
}

// Leaves committed_ false when there is no valid commit record: the segment was never committed, or
// the file was truncated or damaged since. TableLog reports it if it needs the commit.
absl::Status LogSegment::ReadCommit(File* file) {
  CommitRecord commit;
  const int64_t at = end_ - static_cast<int64_t>(sizeof(commit));
  if (at < static_cast<int64_t>(sizeof(SegmentHeader))) return absl::OkStatus();
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(at, &commit, sizeof(commit)));
  if (std::memcmp(commit.magic, kCommitMagic, sizeof(commit.magic)) != 0 ||
      commit.checksum != CommitChecksum(commit, salt_) || commit.sequence != sequence_) {
    return absl::OkStatus();
  }
  // The directory lies between the records and this record. The number of its entries is compared
  // with the room that they have, as the product may overflow.
  constexpr auto kEntryBytes = static_cast<int64_t>(sizeof(LogDirectoryEntry));
  const int64_t begin = commit.directory_offset;
  if (begin > kMaxSegmentBytes || begin < static_cast<int64_t>(sizeof(SegmentHeader)) ||
      begin > at || (at - begin) % kEntryBytes != 0 ||
      commit.directory_entries != (at - begin) / kEntryBytes) {
    return absl::OkStatus();
  }
  committed_ = true;
  checkpoint_ = commit.checkpoint;
  tables_ = commit.tables;
  directory_offset_ = commit.directory_offset;
  directory_entries_ = commit.directory_entries;
  directory_checksum_ = commit.directory_checksum;
  return absl::OkStatus();
}

int64_t LogSegment::RecordBytes(int64_t payload_bytes) {
  return kRecordHeaderBytes + payload_bytes;
}

absl::StatusOr<LogPlace> LogSegment::AppendRows(int table, absl::Span<const int64_t> rows,
                                                absl::Span<const char* const> records,
                                                int64_t bytes) {
  const int64_t total = RecordBytes(bytes) * static_cast<int64_t>(rows.size());
  if (end_ + total > kMaxSegmentBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": the segment is full; make a checkpoint"));
  }
  std::vector<RecordHeader> headers(rows.size());
  std::vector<WritePiece> pieces;
  pieces.reserve(2 * rows.size());
  int64_t at = end_;
  for (size_t i = 0; i < rows.size(); ++i, at += RecordBytes(bytes)) {
    headers[i] = MakeRecordHeader(kRowMagic, table, rows[i], records[i], bytes, salt_);
    pieces.push_back({at, &headers[i], kRecordHeaderBytes});
    pieces.push_back({at + kRecordHeaderBytes, records[i], bytes});
  }
  if (const absl::Status status = writing_->WritePieces(pieces); !status.ok()) {
    tail_dirty_ = true;
    return status;
  }
  const LogPlace first = MakeLogPlace(sequence_, end_);
  end_ = at;
  return first;
}

absl::StatusOr<LogPlace> LogSegment::AppendClear(int table, int column) {
  const RecordHeader header = MakeRecordHeader(kClearMagic, table, column, nullptr, 0, salt_);
  if (const absl::Status status = writing_->WriteAt(end_, &header, sizeof(header)); !status.ok()) {
    tail_dirty_ = true;
    return status;
  }
  const LogPlace place = MakeLogPlace(sequence_, end_);
  end_ += kRecordHeaderBytes;
  return place;
}

absl::Status LogSegment::WriteCommit(int64_t checkpoint, uint64_t tables,
                                     std::vector<LogDirectoryEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const LogDirectoryEntry& a, const LogDirectoryEntry& b) {
              return std::tie(a.table, a.kind, a.row) < std::tie(b.table, b.kind, b.row);
            });
  const size_t bytes = entries.size() * sizeof(LogDirectoryEntry);
  CommitRecord commit = {};
  std::memcpy(commit.magic, kCommitMagic, sizeof(commit.magic));
  commit.checkpoint = checkpoint;
  commit.sequence = sequence_;
  commit.tables = tables;
  commit.directory_offset = end_;
  commit.directory_entries = static_cast<int64_t>(entries.size());
  commit.directory_checksum = XXH3_64bits_withSeed(entries.data(), bytes, salt_);
  commit.checksum = CommitChecksum(commit, salt_);
  std::vector<char> tail(bytes + sizeof(commit));
  if (bytes > 0) std::memcpy(tail.data(), entries.data(), bytes);
  std::memcpy(tail.data() + bytes, &commit, sizeof(commit));

  // The commit record must be the last of the file.
  if (tail_dirty_) PROTOPAGE_RETURN_IF_ERROR(writing_->Truncate(end_));
  tail_dirty_ = true;  // Until SyncCommit: after an error, the next attempt truncates.
  PROTOPAGE_RETURN_IF_ERROR(
      writing_->WriteAt(end_, tail.data(), static_cast<int64_t>(tail.size())));
  checkpoint_ = checkpoint;
  tables_ = tables;
  commit_bytes_ = static_cast<int64_t>(tail.size());
  directory_offset_ = commit.directory_offset;
  directory_entries_ = commit.directory_entries;
  directory_checksum_ = commit.directory_checksum;
  return absl::OkStatus();
}

absl::Status LogSegment::SyncCommit() {
  PROTOPAGE_RETURN_IF_ERROR(writing_->Sync());
  end_ += commit_bytes_;
  tail_dirty_ = false;
  committed_ = true;
  files_->Add(sequence_, std::exchange(writing_, nullptr));
  const MutexLock lock(mutex_);
  reading_.reset();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LogDirectoryEntry>> LogSegment::ReadDirectory() const {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  std::vector<LogDirectoryEntry> entries(directory_entries_);
  const int64_t bytes = directory_entries_ * static_cast<int64_t>(sizeof(LogDirectoryEntry));
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(directory_offset_, entries.data(), bytes));
  if (XXH3_64bits_withSeed(entries.data(), bytes, salt_) != directory_checksum_) {
    return Damaged("the segment's directory does not match its checksum: the file is damaged");
  }
  for (const LogDirectoryEntry& entry : entries) {
    const bool clear = entry.kind == LogDirectoryEntry::kClear;
    if (entry.table >= kMaxLogTables || (!clear && entry.kind != LogDirectoryEntry::kRow) ||
        entry.row < 0 || (clear && entry.row >= kMaxLogColumns) ||
        entry.offset < static_cast<int64_t>(sizeof(SegmentHeader)) ||
        entry.offset > directory_offset_ - kRecordHeaderBytes) {
      return Damaged(absl::StrCat("the segment's directory has an impossible entry: kind ",
                                  static_cast<uint32_t>(entry.kind), ", table ", entry.table,
                                  ", row ", entry.row, ", at byte ", entry.offset));
    }
  }
  return entries;
}

absl::Status LogSegment::ReadRecords(int table, int64_t bytes,
                                     absl::Span<const std::pair<LogPlace, size_t>> wanted,
                                     absl::Span<const int64_t> rows,
                                     absl::Span<char* const> records) const {
  std::vector<RecordHeader> headers(wanted.size());
  std::vector<ReadPiece> pieces;
  pieces.reserve(2 * wanted.size());
  int64_t end = 0;  // Of the record before.
  for (size_t k = 0; k < wanted.size(); ++k) {
    const int64_t offset = OffsetOf(wanted[k].first);
    if (offset < end) {
      return Damaged(absl::StrCat("by the segment's directory, the records of rows ",
                                  rows[wanted[k - 1].second], " and ", rows[wanted[k].second],
                                  " of table ", table, " overlap: the file is damaged"));
    }
    end = offset + RecordBytes(bytes);
    pieces.push_back({offset, &headers[k], kRecordHeaderBytes});
    pieces.push_back({offset + kRecordHeaderBytes, records[wanted[k].second], bytes});
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, OpenFile());
  if (const absl::Status status = file->ReadPieces(pieces); absl::IsOutOfRange(status)) {
    return Damaged(absl::StrCat("it ends in a record: it is truncated (", status.message(), ")"));
  } else {
    PROTOPAGE_RETURN_IF_ERROR(status);
  }
  for (size_t k = 0; k < wanted.size(); ++k) {
    const auto& [place, i] = wanted[k];
    const RecordHeader& header = headers[k];
    if (std::memcmp(header.magic, kRowMagic, sizeof(header.magic)) != 0 ||
        header.table != static_cast<uint32_t>(table) || header.row != rows[i] ||
        header.bytes != bytes || header.checksum != RecordChecksum(header, records[i], salt_)) {
      return Damaged(absl::StrCat("the record at byte ", OffsetOf(place), ", row ", rows[i],
                                  " of table ", table,
                                  ", does not match its checksum: the file is damaged"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadLogRecords(absl::Span<const std::shared_ptr<LogSegment>> segments, int table,
                            int64_t bytes, absl::Span<const std::pair<LogPlace, size_t>> wanted,
                            absl::Span<const int64_t> rows, absl::Span<char* const> records) {
  size_t begin = 0;
  for (const auto& segment : segments) {
    size_t end = begin;
    while (end < wanted.size() && SequenceOf(wanted[end].first) == segment->sequence()) ++end;
    PROTOPAGE_RETURN_IF_ERROR(
        segment->ReadRecords(table, bytes, wanted.subspan(begin, end - begin), rows, records));
    begin = end;
  }
  PROTOPAGE_CHECK(begin == wanted.size());
  return absl::OkStatus();
}

}  // namespace protopage
