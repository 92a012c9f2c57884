#include "protopage/prototypes/table/log_merger.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread.h"

namespace protopage {
namespace {

// Bytes of records that a merge moves at once.
constexpr int64_t kMergeBytes = int64_t{4} << 20;
// Rows that the index forgets at once, while others wait for it.
constexpr size_t kEraseRows = 4096;

}  // namespace

LogMerger::LogMerger(FileSystem* file_system, std::string directory,
                     const LogMergerOptions& options, LogIndex* index)
    : file_system_(file_system),
      directory_(std::move(directory)),
      options_(options),
      index_(index) {}

LogMerger::~LogMerger() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

absl::Status LogMerger::StartMerging() {
  return StartThread([this] { Loop(); }, &thread_);
}

bool LogMerger::Stopping() {
  const MutexLock lock(mutex_);
  return stopping_;
}

absl::Status LogMerger::MergeIfDue() {
  const auto due = [this] {
    return index_->MergeIsDue(options_.merge_segments, options_.merge_bytes, options_.index_bytes);
  };
  if (!thread_.joinable()) {
    if (!due()) return absl::OkStatus();
    const MutexLock merging(merge_mutex_);
    return MergeRetired();
  }
  const MutexLock lock(mutex_);
  wanted_ = due();
  if (wanted_) wake_.NotifyOne();
  return std::exchange(error_, absl::OkStatus());
}

absl::Status LogMerger::MergeNow() {
  const MutexLock merging(merge_mutex_);
  {
    const MutexLock lock(mutex_);
    error_ = absl::OkStatus();  // Its merge is repeated.
  }
  return MergeRetired();
}

void LogMerger::Loop() {
  while (true) {
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && !wanted_) wake_.Wait(mutex_);
      if (stopping_) return;
      wanted_ = false;
    }
    const MutexLock merging(merge_mutex_);
    const absl::Status status = MergeRetired();
    const MutexLock lock(mutex_);
    error_ = status;
  }
}

absl::Status LogMerger::MergeRetired() {
  const std::vector<std::shared_ptr<LogSegment>> segments = index_->RetiredSegments();
  if (segments.empty()) return RemoveLeftSegments();
  for (int t = 0; t < kMaxLogTables; ++t) {
    PROTOPAGE_ASSIGN_OR_RETURN(const bool finished, MergeTable(t, segments));
    if (!finished) return absl::OkStatus();
  }
  if (Stopping()) return absl::OkStatus();
  index_->EraseSegments(segments.back()->sequence());
  return RemoveSegments(segments.back()->sequence());
}

absl::Status LogMerger::RemoveLeftSegments() {
  const int64_t merged = index_->MergedSequence();
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> sequences,
                             LogSegment::List(file_system_, directory_));
  if (sequences.empty() || sequences.front() > merged) return absl::OkStatus();
  return RemoveSegments(merged);
}

absl::Status LogMerger::RemoveSegments(int64_t last) {
  // The directory is listed, as an interrupted removal may have left older ones.
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> sequences,
                             LogSegment::List(file_system_, directory_));
  for (const int64_t sequence : sequences) {
    if (sequence > last) break;
    PROTOPAGE_RETURN_IF_ERROR(file_system_->Remove(LogSegment::Path(directory_, sequence)));
  }
  return file_system_->SyncDirectory(directory_);
}

absl::StatusOr<LogMerger::Changes> LogMerger::CollectChanges(int table, Segments segments) {
  Changes changes;
  changes.cleared.resize(kMaxLogColumns, 0);
  for (const auto& segment : segments) {
    PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<LogDirectoryEntry> entries,
                               segment->ReadDirectory());
    for (const LogDirectoryEntry& entry : entries) {
      if (entry.table != static_cast<uint32_t>(table)) continue;
      changes.any = true;
      const LogPlace place = MakeLogPlace(segment->sequence(), entry.offset);
      if (entry.kind == LogDirectoryEntry::kClear) {
        changes.cleared[entry.row] = place;
      } else {
        changes.rows.emplace_back(entry.row, place);
      }
    }
  }
  // The places of one row ascend by segment: the last one is the newest.
  auto& rows = changes.rows;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + 1 == rows.size() || rows[i + 1].first != rows[i].first) rows[kept++] = rows[i];
  }
  rows.resize(kept);
  return changes;
}

absl::StatusOr<bool> LogMerger::MergeTable(int table, Segments segments) {
  const LogPoint point{segments.back()->sequence(), segments.back()->checkpoint()};
  LogPoint main;
  LoggedTable* const logged = index_->GetTable(table, &main);
  PROTOPAGE_ASSIGN_OR_RETURN(const Changes changes, CollectChanges(table, segments));
  if (logged == nullptr) {
    if (!changes.any) return true;
    return absl::FailedPreconditionError(absl::StrCat(
        directory_, ": table ", table, " has changes to merge into its file, but is not open"));
  }
  // The file is past `point` when an earlier merge was interrupted while it removed segments.
  if (main.sequence < point.sequence) {
    PROTOPAGE_ASSIGN_OR_RETURN(const bool finished,
                               MergeChanges(table, logged, point, segments, changes));
    if (!finished || Stopping()) return false;
    index_->SetMain(table, point);
  }
  // The places go first, then the clearings: as long as a row has a place in these segments, it is
  // compared with them.
  std::vector<int64_t> rows;
  for (size_t begin = 0; begin < changes.rows.size(); begin += kEraseRows) {
    rows.clear();
    const size_t end = std::min(changes.rows.size(), begin + kEraseRows);
    for (size_t i = begin; i < end; ++i) rows.push_back(changes.rows[i].first);
    index_->EraseRows(table, rows, point.sequence);
  }
  index_->EraseClears(table, point.sequence);
  return true;
}

absl::StatusOr<bool> LogMerger::MergeChanges(int table, LoggedTable* logged, const LogPoint& point,
                                             Segments segments, const Changes& changes) {
  PROTOPAGE_RETURN_IF_ERROR(logged->BeginMerge(point.sequence));
  for (int c = 0; c < kMaxLogColumns; ++c) {
    if (changes.cleared[c] != 0) PROTOPAGE_RETURN_IF_ERROR(logged->MergeClear(c));
  }
  const int64_t bytes = logged->record_bytes();
  const auto batch =
      static_cast<size_t>(std::max<int64_t>(16, kMergeBytes / LogSegment::RecordBytes(bytes)));
  std::vector<char> buffer(batch * bytes);
  std::vector<std::pair<LogPlace, size_t>> order;
  std::vector<int64_t> ids;
  std::vector<char*> records;
  std::vector<uint32_t> masks;
  for (size_t begin = 0; begin < changes.rows.size(); begin += batch) {
    if (Stopping()) return false;
    const size_t count = std::min(batch, changes.rows.size() - begin);
    order.clear();
    ids.clear();
    records.clear();
    masks.assign(count, 0);
    for (size_t i = 0; i < count; ++i) {
      const auto& [row, place] = changes.rows[begin + i];
      order.emplace_back(place, i);
      ids.push_back(row);
      records.push_back(buffer.data() + i * bytes);
      for (int c = 0; c < kMaxLogColumns; ++c) {
        if (place < changes.cleared[c]) masks[i] |= uint32_t{1} << c;
      }
    }
    std::sort(order.begin(), order.end());
    PROTOPAGE_RETURN_IF_ERROR(ReadLogRecords(segments, table, bytes, order, ids, records));
    PROTOPAGE_RETURN_IF_ERROR(logged->MergeRows(ids, records, masks));
  }
  PROTOPAGE_RETURN_IF_ERROR(logged->EndMerge(point));
  index_->CountMerged(static_cast<int64_t>(changes.rows.size()));
  return true;
}

}  // namespace protopage
