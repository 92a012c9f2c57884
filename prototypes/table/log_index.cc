#include "protopage/prototypes/table/log_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"

namespace protopage {

// --- Loading -------------------------------------------------------------------------------------

void LogIndex::SetHead(const LogPoint& head, uint64_t tables) {
  const MutexLock lock(mutex_);
  head_ = head;
  head_tables_ = tables;
}

void LogIndex::SetGap(std::string gap) {
  const MutexLock lock(mutex_);
  gap_ = std::move(gap);
}

absl::Status LogIndex::LoadSegment(std::shared_ptr<LogSegment> segment) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<LogDirectoryEntry> entries,
                             segment->ReadDirectory());
  const MutexLock lock(mutex_);
  for (const LogDirectoryEntry& entry : entries) {
    Table& table = tables_[entry.table];
    const LogPlace place = MakeLogPlace(segment->sequence(), entry.offset);
    if (entry.kind == LogDirectoryEntry::kClear) {
      table.cleared[entry.row] = place;
    } else {
      table.places[entry.row] = place;
    }
  }
  segments_.push_back(std::move(segment));
  return absl::OkStatus();
}

// --- Tables --------------------------------------------------------------------------------------

LogPoint LogIndex::head() const {
  const MutexLock lock(mutex_);
  return head_;
}

uint64_t LogIndex::head_tables() const {
  const MutexLock lock(mutex_);
  return head_tables_;
}

bool LogIndex::Covers(int table) const {
  return head_.sequence > 0 && (head_tables_ >> table & 1) != 0;
}

bool LogIndex::HasTable(int table) const {
  const MutexLock lock(mutex_);
  return Covers(table);
}

absl::Status LogIndex::Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                              const std::string& directory, bool* in_place) {
  PROTOPAGE_CHECK(table >= 0 && table < kMaxLogTables);
  const MutexLock lock(mutex_);
  Table& t = tables_[table];
  PROTOPAGE_CHECK(t.logged == nullptr);
  const bool covered = Covers(table);
  const bool read_only = current_ == nullptr;
  const auto bad = [&](absl::StatusCode code, absl::string_view what) {
    return absl::Status(code, absl::StrCat(logged->path(), ": ", what));
  };
  if (!covered && (main.sequence > 0 || read_only)) {
    return bad(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("the file is not of checkpoint ", head_.checkpoint, " of ", directory));
  }
  if (covered) {
    if (main.sequence == 0) {
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat("the file does not belong to ", directory, ", whose checkpoint ",
                              head_.checkpoint, " needs it"));
    }
    if (std::max(main.sequence, merging) > head_.sequence) {
      return bad(
          read_only ? absl::StatusCode::kAborted : absl::StatusCode::kFailedPrecondition,
          absl::StrCat("the file is past checkpoint ", head_.checkpoint, ", which was retired"));
    }
    const int64_t first = segments_.empty() ? head_.sequence + 1 : segments_.front()->sequence();
    if (first > main.sequence + 1) {
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat("the file equals checkpoint ", main.checkpoint,
                              " and cannot be brought to ", head_.checkpoint, ": ", gap_));
    }
  }
  if (covered) {
    for (int c = logged->num_columns(); c < kMaxLogColumns; ++c) {
      if (t.cleared[c] == 0) continue;
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat(directory, " clears its column ", c, ", it has ",
                              logged->num_columns(), " columns"));
    }
    int64_t last_row = -1;
    for (const auto& [row, place] : t.places) last_row = std::max(last_row, row);
    if (last_row >= logged->capacity()) {
      return bad(absl::StatusCode::kDataLoss,
                 absl::StrCat(directory, " has its row ", last_row, ", it has room for ",
                              logged->capacity()));
    }
  }
  t.logged = logged;
  t.main = main;
  t.in_place = !covered;
  *in_place = t.in_place;
  return absl::OkStatus();
}

void LogIndex::Detach(int table) {
  const MutexLock lock(mutex_);
  tables_[table].logged = nullptr;
}

int64_t LogIndex::RecordBytes(int table) const {
  const MutexLock lock(mutex_);
  PROTOPAGE_CHECK(tables_[table].logged != nullptr);
  return tables_[table].logged->record_bytes();
}

std::array<LoggedTable*, kMaxLogTables> LogIndex::TablesInPlace() const {
  const MutexLock lock(mutex_);
  std::array<LoggedTable*, kMaxLogTables> result = {};
  for (int t = 0; t < kMaxLogTables; ++t) {
    if (tables_[t].in_place) result[t] = tables_[t].logged;
  }
  return result;
}

// --- Appending -----------------------------------------------------------------------------------

void LogIndex::SetCurrent(std::shared_ptr<LogSegment> segment) {
  const MutexLock lock(mutex_);
  current_bytes_ = segment->bytes();
  current_rows_ = 0;
  current_ = std::move(segment);
}

void LogIndex::AddRows(int table, absl::Span<const int64_t> rows, LogPlace first,
                       int64_t record_bytes) {
  const MutexLock lock(mutex_);
  absl::flat_hash_map<int64_t, LogPlace>& places = tables_[table].places;
  LogPlace at = first;
  for (const int64_t row : rows) {
    LogPlace& place = places[row];
    if (SequenceOf(place) != SequenceOf(first)) ++current_rows_;
    place = at;
    at += record_bytes;
  }
  current_bytes_ = OffsetOf(first) + record_bytes * static_cast<int64_t>(rows.size());
  rows_appended_ += static_cast<int64_t>(rows.size());
}

void LogIndex::AddClear(int table, int column, LogPlace place, int64_t record_bytes) {
  const MutexLock lock(mutex_);
  tables_[table].cleared[column] = place;
  current_bytes_ = OffsetOf(place) + record_bytes;
}

std::vector<LogDirectoryEntry> LogIndex::CurrentDirectory() const {
  const MutexLock lock(mutex_);
  const int64_t sequence = current_->sequence();
  std::vector<LogDirectoryEntry> entries;
  entries.reserve(current_rows_ + 16);
  for (int t = 0; t < kMaxLogTables; ++t) {
    for (int c = 0; c < kMaxLogColumns; ++c) {
      const LogPlace place = tables_[t].cleared[c];
      if (SequenceOf(place) == sequence) entries.push_back(LogDirectoryEntry::Clear(t, c, place));
    }
    for (const auto& [row, place] : tables_[t].places) {
      if (SequenceOf(place) == sequence) entries.push_back(LogDirectoryEntry::Row(t, row, place));
    }
  }
  return entries;
}

uint64_t LogIndex::HeadSalt() const {
  const MutexLock lock(mutex_);
  const bool there = !segments_.empty() && segments_.back()->sequence() == head_.sequence;
  return there ? segments_.back()->salt() : 0;
}

void LogIndex::Commit(const LogPoint& head, uint64_t tables) {
  const MutexLock lock(mutex_);
  current_bytes_ = current_->bytes();
  segments_.push_back(current_);
  head_ = head;
  head_tables_ = tables;
  for (Table& table : tables_) {
    if (table.logged == nullptr || !table.in_place) continue;
    table.in_place = false;
    table.main = head;
  }
}

// --- Lookups -------------------------------------------------------------------------------------

LogLookup LogIndex::Find(int table, absl::Span<const int64_t> rows,
                         std::vector<LogFound>* found) const {
  found->assign(rows.size(), LogFound());
  LogLookup lookup;
  const MutexLock lock(mutex_);
  const Table& t = tables_[table];
  lookup.bytes = t.logged->record_bytes();
  bool any_cleared = false;
  // Clearings that count for rows of the main file, which is at the end of segment t.main.
  std::array<LogPlace, kMaxLogColumns> main_cleared;
  for (int c = 0; c < kMaxLogColumns; ++c) {
    any_cleared |= t.cleared[c] != 0;
    main_cleared[c] = SequenceOf(t.cleared[c]) > t.main.sequence ? t.cleared[c] : 0;
  }
  if (t.places.empty() && !any_cleared) return lookup;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto place = t.places.find(rows[i]);
    const LogPlace at = place == t.places.end() ? 0 : place->second;
    if (at != 0) lookup.wanted.emplace_back(at, i);
    (*found)[i].in_log = at != 0;
    for (int c = 0; any_cleared && c < kMaxLogColumns; ++c) {
      if (at < (at != 0 ? t.cleared[c] : main_cleared[c])) {
        (*found)[i].cleared |= uint32_t{1} << c;
      }
    }
  }
  std::sort(lookup.wanted.begin(), lookup.wanted.end());
  int64_t last = 0;
  for (const auto& [place, i] : lookup.wanted) {
    const int64_t sequence = SequenceOf(place);
    if (sequence == last) continue;
    last = sequence;
    lookup.segments.push_back(
        sequence > head_.sequence ? current_ : segments_[sequence - segments_.front()->sequence()]);
  }
  return lookup;
}

bool LogIndex::Touches(int table) const {
  const MutexLock lock(mutex_);
  const Table& t = tables_[table];
  return !t.places.empty() ||
         std::any_of(t.cleared.begin(), t.cleared.end(), [](LogPlace p) { return p != 0; });
}

uint32_t LogIndex::Overlay(int table, std::vector<int64_t>* rows) const {
  uint32_t cleared = 0;
  const MutexLock lock(mutex_);
  const Table& t = tables_[table];
  rows->clear();
  rows->reserve(t.places.size());
  for (const auto& [row, place] : t.places) rows->push_back(row);
  std::sort(rows->begin(), rows->end());
  for (int c = 0; c < kMaxLogColumns; ++c) {
    if (SequenceOf(t.cleared[c]) > t.main.sequence) cleared |= uint32_t{1} << c;
  }
  return cleared;
}

// --- Merging -------------------------------------------------------------------------------------

void LogIndex::Retire(int64_t oldest) {
  const MutexLock lock(mutex_);
  for (const auto& segment : segments_) {
    if (segment->checkpoint() <= oldest) retired_ = std::max(retired_, segment->sequence());
  }
}

bool LogIndex::MergeIsDue(int64_t merge_segments, int64_t merge_bytes, int64_t index_bytes) const {
  const MutexLock lock(mutex_);
  int64_t segments = 0, bytes = 0, rows = 0;
  for (const auto& segment : segments_) {
    if (segment->sequence() <= retired_) {
      ++segments;
      bytes += segment->bytes();
      rows += segment->directory_entries();
    }
  }
  if (segments == 0) return false;
  return segments >= merge_segments || bytes >= merge_bytes ||
         rows * kLogIndexBytesPerRow >= index_bytes / 4;
}

std::vector<std::shared_ptr<LogSegment>> LogIndex::RetiredSegments() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<LogSegment>> segments;
  for (const auto& segment : segments_) {
    if (segment->sequence() <= retired_) segments.push_back(segment);
  }
  return segments;
}

LoggedTable* LogIndex::GetTable(int table, LogPoint* main) const {
  const MutexLock lock(mutex_);
  *main = tables_[table].main;
  return tables_[table].logged;
}

int64_t LogIndex::MergedSequence() const {
  const MutexLock lock(mutex_);
  int64_t merged = head_.sequence;
  for (int t = 0; t < kMaxLogTables; ++t) {
    if (!Covers(t)) continue;
    merged = tables_[t].logged != nullptr ? std::min(merged, tables_[t].main.sequence) : 0;
  }
  return merged;
}

void LogIndex::SetMain(int table, const LogPoint& point) {
  const MutexLock lock(mutex_);
  tables_[table].main = point;
}

void LogIndex::EraseRows(int table, absl::Span<const int64_t> rows, int64_t sequence) {
  const MutexLock lock(mutex_);
  absl::flat_hash_map<int64_t, LogPlace>& places = tables_[table].places;
  for (const int64_t row : rows) {
    const auto found = places.find(row);
    if (found != places.end() && SequenceOf(found->second) <= sequence) places.erase(found);
  }
}

void LogIndex::EraseClears(int table, int64_t sequence) {
  const MutexLock lock(mutex_);
  for (LogPlace& place : tables_[table].cleared) {
    if (SequenceOf(place) <= sequence) place = 0;
  }
}

void LogIndex::EraseSegments(int64_t sequence) {
  const MutexLock lock(mutex_);
  while (!segments_.empty() && segments_.front()->sequence() <= sequence) segments_.pop_front();
}

void LogIndex::CountMerged(int64_t rows) {
  const MutexLock lock(mutex_);
  rows_merged_ += rows;
}

// --- Sizes ---------------------------------------------------------------------------------------

int64_t LogIndex::NumRows() const {
  int64_t rows = 0;
  for (const Table& table : tables_) rows += static_cast<int64_t>(table.places.size());
  return rows;
}

bool LogIndex::WantsCheckpoint(int64_t index_bytes, int64_t segment_bytes) const {
  const MutexLock lock(mutex_);
  if (current_ == nullptr) return false;
  const int64_t others = NumRows() - current_rows_;
  const auto share = static_cast<int64_t>(2 * (segments_.size() + 1));
  // What the other segments leave, but not so little that every few steps make a checkpoint.
  const int64_t room = std::max(index_bytes - others * kLogIndexBytesPerRow, index_bytes / share);
  return current_rows_ * kLogIndexBytesPerRow > room || current_bytes_ > segment_bytes;
}

TableLogStats LogIndex::stats() const {
  const MutexLock lock(mutex_);
  TableLogStats stats;
  stats.segments = static_cast<int64_t>(segments_.size());
  for (const auto& segment : segments_) stats.bytes += segment->bytes();
  if (current_ != nullptr) {
    stats.bytes += current_bytes_;
    ++stats.segments;
  }
  stats.index_rows = NumRows();
  stats.index_bytes = stats.index_rows * kLogIndexBytesPerRow;
  stats.rows_appended = rows_appended_;
  stats.rows_merged = rows_merged_;
  return stats;
}

}  // namespace protopage
