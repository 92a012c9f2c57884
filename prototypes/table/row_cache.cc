#include "protopage/prototypes/table/row_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/check.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/thread.h"
#include "protopage/prototypes/table/table_copy.h"

namespace protopage {
namespace {

// Bounds what a row takes in addition to its record: its Frame, its entry in the free list, and its
// slot in the hash map at the map's lowest load (7/16 after it doubled, 17 bytes a slot).
constexpr int64_t kOverheadBytes = 32 + 4 + 40;
// Rows the writer copies while it holds the lock: 64 rows of 4 KiB are copied in some 30 us.
constexpr size_t kWriteBatch = 64;
// Rows the writer sorts at once.
constexpr int64_t kCollect = 8192;

int64_t FrameBytes(int64_t record_bytes) { return (record_bytes + 63) / 64 * 64; }

}  // namespace

int64_t RowCache::RowsIn(int64_t cache_bytes, int64_t record_bytes) {
  return std::clamp<int64_t>(cache_bytes / (FrameBytes(record_bytes) + kOverheadBytes), 1,
                             INT32_MAX);
}

RowCache::RowCache(PagedTable* table, const RowCacheOptions& options)
    : table_(table), read_only_(options.read_only) {
  frame_bytes_ = FrameBytes(table->record_bytes());
  num_frames_ = std::min(RowsIn(options.cache_bytes, table->record_bytes()),
                         std::max<int64_t>(table->spec().capacity, 1));
  start_writing_ = (num_frames_ + 1) / 2;
  stop_writing_ = num_frames_ * 3 / 8;
  max_dirty_ = std::max<int64_t>(num_frames_ * 3 / 4, 1);
  // The memory is not touched here: pages that are never used cost nothing.
  memory_.reset(static_cast<char*>(operator new(num_frames_* frame_bytes_, kAlignment)));
  frames_.reserve(num_frames_);  // References to frames stay valid.
  if (!read_only_) writer_started_ = StartThread([this] { WriterLoop(); }, &writer_);
}

RowCache::~RowCache() {
  {
    const MutexLock lock(mutex_);
    PROTOPAGE_CHECK(num_pins_ == 0);
    stopping_ = true;
  }
  wake_writer_.NotifyAll();
  if (writer_.joinable()) writer_.join();
}

void RowCache::Release(int32_t frame) {
  Frame& f = frames_[frame];
  --f.users;
  if (f.users == 0 && f.failed) {
    f = Frame();
    free_frames_.push_back(frame);
  }
}

void RowCache::SetDirty(int32_t frame) {
  Frame& f = frames_[frame];
  if (f.dirty) return;
  f.dirty = true;
  if (++num_dirty_ >= start_writing_) wake_writer_.NotifyOne();
}

int32_t RowCache::Evict(bool* unwritten) {
  // Two rounds: the first may only take the second chances away.
  for (int64_t looked = 0; looked < 2 * num_frames_; ++looked) {
    Frame& f = frames_[hand_];
    const int32_t frame = static_cast<int32_t>(hand_);
    hand_ = hand_ + 1 == num_frames_ ? 0 : hand_ + 1;
    if (f.users > 0) continue;
    if (IsUnwritten(f)) {
      *unwritten = true;
      continue;
    }
    if (f.referenced) {
      f.referenced = false;
      continue;
    }
    frame_of_.erase(f.id);
    f = Frame();
    return frame;
  }
  return -1;
}

int32_t RowCache::TakeFrame(bool* unwritten) {
  if (!free_frames_.empty()) {
    const int32_t frame = free_frames_.back();
    free_frames_.pop_back();
    return frame;
  }
  if (static_cast<int64_t>(frames_.size()) < num_frames_) {
    frames_.emplace_back();
    return static_cast<int32_t>(frames_.size()) - 1;
  }
  return Evict(unwritten);
}

bool RowCache::TryTakeFrames(absl::Span<const int64_t> ids, bool only_found,
                             std::vector<int32_t>* frames, std::vector<int32_t>* missing,
                             std::vector<int32_t>* found, bool* unwritten) {
  frames->assign(ids.size(), -1);
  missing->clear();
  found->clear();
  // Those that are cached come first, so that they are not evicted for the others.
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto it = frame_of_.find(ids[i]);
    if (it == frame_of_.end()) continue;
    ++frames_[it->second].users;
    found->push_back(it->second);
    (*frames)[i] = it->second;
  }
  bool all = found->size() == ids.size() || !only_found;
  for (size_t i = 0; i < ids.size() && found->size() < ids.size() && all; ++i) {
    if ((*frames)[i] >= 0) continue;
    const auto it = frame_of_.find(ids[i]);  // An id may be repeated.
    if (it != frame_of_.end()) {
      ++frames_[it->second].users;
      found->push_back(it->second);
      (*frames)[i] = it->second;
      continue;
    }
    const int32_t frame = TakeFrame(unwritten);
    all = frame >= 0;
    if (!all) continue;
    Frame& f = frames_[frame];
    f.id = ids[i];
    f.users = 1;
    f.loading = true;
    frame_of_[ids[i]] = frame;
    missing->push_back(frame);
    (*frames)[i] = frame;
  }
  if (all) {
    hits_ += static_cast<int64_t>(found->size());
    misses_ += static_cast<int64_t>(missing->size());
    return true;
  }
  for (const int32_t frame : *found) --frames_[frame].users;
  for (const int32_t frame : *missing) {
    frame_of_.erase(frames_[frame].id);
    frames_[frame] = Frame();
    free_frames_.push_back(frame);
  }
  return false;
}

absl::Status RowCache::CheckRoom(absl::Span<const int64_t> ids) const {
  std::vector<int64_t> distinct(ids.begin(), ids.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  int64_t needed = num_pinned_frames_;
  for (const int64_t id : distinct) {
    const auto it = frame_of_.find(id);
    if (it == frame_of_.end() || frames_[it->second].pins == 0) ++needed;
  }
  if (needed <= num_frames_) return absl::OkStatus();
  const std::string pinned =
      num_pinned_frames_ > 0
          ? absl::StrCat(", ", num_pinned_frames_, " of them pinned for coming steps")
          : "";
  return absl::ResourceExhaustedError(absl::StrCat(
      table_->path(), ": ", needed, " rows would be in use", pinned, ", and the cache can hold ",
      num_frames_, "; raise its budget (cache_bytes), a row takes ", frame_bytes_ + kOverheadBytes,
      " bytes"));
}

absl::Status RowCache::TakeFrames(absl::Span<const int64_t> ids, std::vector<int32_t>* frames,
                                  std::vector<int32_t>* missing, std::vector<int32_t>* found) {
  bool unwritten = false;
  // Rows that are all cached need no turn.
  const bool others_wait = served_number_ < next_number_;
  if (TryTakeFrames(ids, /*only_found=*/others_wait, frames, missing, found, &unwritten)) {
    return absl::OkStatus();
  }
  const int64_t number = next_number_++;
  absl::Status status;
  while (true) {
    if (served_number_ == number) {
      unwritten = false;
      status = CheckRoom(ids);
      if (!status.ok() ||
          TryTakeFrames(ids, /*only_found=*/false, frames, missing, found, &unwritten)) {
        break;
      }
      if (unwritten) {
        status = write_error_;
        if (!status.ok()) break;
        // When most rows are in use, a few dirty ones can fill the rest: the writer must write even
        // those below its watermarks.
        writer_wanted_ = true;
        wake_writer_.NotifyOne();
      }
    }
    changed_.Wait(mutex_);
  }
  ++served_number_;
  changed_.NotifyAll();
  return status;
}

absl::Status RowCache::Load(std::vector<int32_t> frames) {
  std::vector<std::pair<int64_t, int32_t>> by_id;
  for (const int32_t frame : frames) by_id.emplace_back(frames_[frame].id, frame);
  std::sort(by_id.begin(), by_id.end());
  for (size_t i = 0; i < frames.size(); ++i) frames[i] = by_id[i].second;
  std::vector<int64_t> ids;
  std::vector<char*> records;
  while (!frames.empty()) {
    ids.clear();
    records.clear();
    for (int32_t frame : frames) {
      ids.push_back(frames_[frame].id);
      records.push_back(Record(frame));
      frames_[frame].reload = false;
    }
    mutex_.Unlock();
    absl::Status status;
    {
      const ReaderMutexLock reading(load_mutex_);
      status = table_->ReadRows(ids, absl::MakeConstSpan(records));
    }
    mutex_.Lock();
    if (!status.ok()) {
      Abandon(frames, status);
      return status;
    }
    // Rows that changed in the table meanwhile are read again.
    size_t left = 0;
    for (int32_t frame : frames) {
      if (frames_[frame].reload) {
        frames[left++] = frame;
      } else {
        frames_[frame].loading = false;
      }
    }
    frames.resize(left);
    changed_.NotifyAll();
  }
  return absl::OkStatus();
}

void RowCache::Abandon(absl::Span<const int32_t> frames, const absl::Status& status) {
  for (int32_t frame : frames) {
    Frame& f = frames_[frame];
    if (!f.loading) continue;
    f.loading = false;
    f.failed = true;
    frame_of_.erase(f.id);
  }
  load_error_ = status;
  changed_.NotifyAll();
}

absl::Status RowCache::Acquire(absl::Span<const int64_t> ids, bool load,
                               std::vector<int32_t>* frames) {
  std::vector<int32_t> missing;  // Loaded by this call.
  std::vector<int32_t> found;    // Loaded, or being loaded by another call.
  absl::Status status = TakeFrames(ids, frames, &missing, &found);
  if (!status.ok()) {
    frames->clear();
    return status;
  }
  if (load) status = Load(missing);
  // Waiting for rows that other calls load cannot deadlock: such a call took all its frames before
  // this one did.
  for (size_t i = 0; i < found.size() && status.ok(); ++i) {
    const Frame& f = frames_[found[i]];
    while (f.loading) changed_.Wait(mutex_);
    if (f.failed) status = load_error_;
  }
  if (!status.ok()) {
    Abandon(missing, status);
    for (int32_t frame : *frames) Release(frame);
    frames->clear();
    changed_.NotifyAll();
  }
  return status;
}

absl::Status RowCache::Read(absl::Span<const int64_t> ids,
                            absl::FunctionRef<void(size_t, const char*)> visit) {
  std::vector<int32_t> frames;
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(Acquire(ids, /*load=*/true, &frames));
  for (size_t i = 0; i < frames.size(); ++i) {
    visit(i, Record(frames[i]));
    frames_[frames[i]].referenced = true;
    Release(frames[i]);
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status RowCache::Write(absl::Span<const int64_t> ids, WriteKind kind,
                             absl::FunctionRef<void(size_t, char*)> fill) {
  if (read_only_) {
    return absl::FailedPreconditionError(absl::StrCat(table_->path(), ": opened read-only"));
  }
  PROTOPAGE_RETURN_IF_ERROR(writer_started_);
  std::vector<int32_t> frames;
  const MutexLock lock(mutex_);
  while (num_dirty_ > max_dirty_ && write_error_.ok()) changed_.Wait(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(write_error_);
  PROTOPAGE_RETURN_IF_ERROR(Acquire(ids, kind == kPart, &frames));
  for (size_t i = 0; i < frames.size(); ++i) {
    fill(i, Record(frames[i]));
    Frame& f = frames_[frames[i]];
    f.loading = false;
    f.referenced = true;
    SetDirty(frames[i]);
    Release(frames[i]);
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::StatusOr<PinnedRows> RowCache::Pin(absl::Span<const int64_t> ids) {
  std::vector<int32_t> frames;
  const MutexLock lock(mutex_);
  PROTOPAGE_RETURN_IF_ERROR(Acquire(ids, /*load=*/true, &frames));
  num_pins_ += static_cast<int64_t>(frames.size());
  for (const int32_t frame : frames) {
    if (frames_[frame].pins++ == 0) ++num_pinned_frames_;
  }
  return PinnedRows(this, std::move(frames));
}

void RowCache::Unpin(absl::Span<const int32_t> frames) {
  {
    const MutexLock lock(mutex_);
    num_pins_ -= static_cast<int64_t>(frames.size());
    for (const int32_t frame : frames) {
      if (--frames_[frame].pins == 0) --num_pinned_frames_;
      Release(frame);
    }
  }
  changed_.NotifyAll();
}

absl::Status RowCache::ReadColumn(int column, int64_t first, int64_t count, void* cells) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), first);
  return ReadCells(column, rows, cells);
}

absl::Status RowCache::ReadCells(int column, absl::Span<const int64_t> rows, void* cells) {
  const int64_t cell_bytes = table_->cell_bytes(column);
  const auto cell = [&](size_t i) {
    return static_cast<char*>(cells) + static_cast<int64_t>(i) * cell_bytes;
  };
  const MutexLock writing(write_mutex_);  // The table does not change.
  // Cells that are not cached, which the table has as they are when mutex_ is released.
  std::vector<size_t> missing;
  {
    const MutexLock lock(mutex_);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto found = frame_of_.find(rows[i]);
      // The table has the newest content of a row that is loading.
      if (found == frame_of_.end() || frames_[found->second].loading) {
        missing.push_back(i);
      } else {
        std::memcpy(cell(i), Record(found->second) + table_->record_offset(column), cell_bytes);
      }
    }
  }
  if (missing.size() == rows.size()) return table_->ReadCells(column, rows, cells);
  if (missing.empty()) return absl::OkStatus();
  std::vector<int64_t> missing_rows;
  missing_rows.reserve(missing.size());
  for (const size_t i : missing) missing_rows.push_back(rows[i]);
  std::vector<char> buffer(missing.size() * cell_bytes);
  PROTOPAGE_RETURN_IF_ERROR(table_->ReadCells(column, missing_rows, buffer.data()));
  for (size_t k = 0; k < missing.size(); ++k) {
    std::memcpy(cell(missing[k]), buffer.data() + static_cast<int64_t>(k) * cell_bytes, cell_bytes);
  }
  return absl::OkStatus();
}

absl::Status RowCache::ReadWritten(int column, int64_t first, int64_t count, uint8_t* written) {
  const MutexLock writing(write_mutex_);  // The table does not change.
  PROTOPAGE_RETURN_IF_ERROR(table_->ReadWritten(column, first, count, written));
  const MutexLock lock(mutex_);
  for (int64_t i = 0; i < count; ++i) {
    const auto found = frame_of_.find(first + i);
    if (found != frame_of_.end() && frames_[found->second].dirty) written[i] = 1;
  }
  return absl::OkStatus();
}

absl::Status RowCache::WriteColumn(int column, int64_t first, int64_t count, const void* cells) {
  const int64_t cell_bytes = table_->cell_bytes(column);
  const MutexLock writing(write_mutex_);
  {
    const WriterMutexLock loading(load_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(table_->WriteColumn(column, first, count, cells));
  }
  const MutexLock lock(mutex_);
  for (int64_t i = 0; i < count; ++i) {
    const auto found = frame_of_.find(first + i);
    if (found == frame_of_.end()) continue;
    Frame& f = frames_[found->second];
    f.reload = f.loading;
    // A loading row is read again. This call must not wait for it: the loading one may be waiting
    // for the writer, which needs write_mutex_.
    if (f.loading) continue;
    std::memcpy(Record(found->second) + table_->record_offset(column),
                static_cast<const char*>(cells) + i * cell_bytes, cell_bytes);
  }
  return absl::OkStatus();
}

absl::Status RowCache::ClearColumn(int column) {
  PROTOPAGE_CHECK(column > 0);
  const MutexLock writing(write_mutex_);
  {
    const WriterMutexLock loading(load_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(table_->ClearColumn(column));
  }
  const MutexLock lock(mutex_);
  for (const auto& [id, frame] : frame_of_) {
    Frame& f = frames_[frame];
    f.reload = f.loading;
    if (f.loading) continue;
    std::memset(Record(frame) + table_->record_offset(column), 0, table_->cell_bytes(column));
  }
  return absl::OkStatus();
}

std::vector<int64_t> RowCache::CollectDirty(int64_t limit) {
  std::vector<int64_t> ids;
  const int64_t size = static_cast<int64_t>(frames_.size());
  // Rows that were not used since the eviction hand passed come first: the others are likely to
  // change again before they are evicted.
  for (const bool any : {false, true}) {
    for (int64_t looked = 0; looked < size && static_cast<int64_t>(ids.size()) < limit; ++looked) {
      writer_hand_ = writer_hand_ + 1 >= size ? 0 : writer_hand_ + 1;
      const Frame& f = frames_[writer_hand_];
      if (f.dirty && (any ? f.referenced : !f.referenced)) ids.push_back(f.id);
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::Status RowCache::WriteBack(absl::Span<const int64_t> ids) {
  std::vector<char> copies(kWriteBatch * frame_bytes_);
  std::vector<int64_t> rows;
  std::vector<int32_t> frames;
  std::vector<const char*> records;
  for (size_t begin = 0; begin < ids.size(); begin += kWriteBatch) {
    rows.clear();
    frames.clear();
    records.clear();
    {
      const MutexLock lock(mutex_);
      for (int64_t id : ids.subspan(begin, kWriteBatch)) {
        const auto found = frame_of_.find(id);
        if (found == frame_of_.end() || !frames_[found->second].dirty) continue;
        char* copy = copies.data() + rows.size() * frame_bytes_;
        std::memcpy(copy, Record(found->second), table_->record_bytes());
        frames_[found->second].dirty = false;
        frames_[found->second].in_flight = true;
        rows.push_back(id);
        frames.push_back(found->second);
        records.push_back(copy);
      }
      num_dirty_ -= static_cast<int64_t>(rows.size());
      num_in_flight_ += static_cast<int64_t>(rows.size());
    }
    const absl::Status status = table_->WriteRows(rows, absl::MakeConstSpan(records));
    {
      const MutexLock lock(mutex_);
      num_in_flight_ -= static_cast<int64_t>(rows.size());
      for (int32_t frame : frames) {
        frames_[frame].in_flight = false;
        if (!status.ok()) SetDirty(frame);
      }
      if (!status.ok()) write_error_ = status;
    }
    changed_.NotifyAll();
    PROTOPAGE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

bool RowCache::WriterHasWork() const {
  if (!write_error_.ok()) return false;  // Until a Flush succeeds.
  return num_dirty_ >= start_writing_ || (writer_wanted_ && num_dirty_ > 0);
}

void RowCache::WriterLoop() {
  while (true) {
    std::vector<int64_t> ids;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && !WriterHasWork()) wake_writer_.Wait(mutex_);
      if (stopping_) return;
      const int64_t excess = writer_wanted_ ? num_dirty_ : num_dirty_ - stop_writing_;
      writer_wanted_ = false;
      ids = CollectDirty(std::min(excess, kCollect));
    }
    // Batch by batch, so that others who need the table wait for one batch only.
    for (size_t begin = 0; begin < ids.size(); begin += kWriteBatch) {
      const MutexLock writing(write_mutex_);
      if (!WriteBack(absl::MakeConstSpan(ids).subspan(begin, kWriteBatch)).ok()) break;
    }
  }
}

absl::Status RowCache::FlushRows() {
  std::vector<int64_t> ids;
  {
    const MutexLock lock(mutex_);
    write_error_ = absl::OkStatus();  // The rows are written again.
    ids = CollectDirty(num_dirty_);
  }
  PROTOPAGE_RETURN_IF_ERROR(WriteBack(ids));
  return table_->Flush();
}

absl::Status RowCache::Flush() {
  if (read_only_) return absl::OkStatus();
  const MutexLock writing(write_mutex_);
  return FlushRows();
}

absl::Status RowCache::SaveCopy(const std::string& path) {
  const MutexLock writing(write_mutex_);
  if (!read_only_) PROTOPAGE_RETURN_IF_ERROR(FlushRows());
  return CopyTable(table_, path);
}

RowCacheStats RowCache::stats() const {
  const MutexLock lock(mutex_);
  RowCacheStats stats;
  stats.hits = hits_;
  stats.misses = misses_;
  stats.capacity_rows = num_frames_;
  stats.cached_rows = static_cast<int64_t>(frame_of_.size());
  stats.dirty_rows = num_dirty_ + num_in_flight_;
  stats.waiting_calls = next_number_ - served_number_;
  stats.bytes = static_cast<int64_t>(frames_.size()) * frame_bytes_ + num_frames_ * kOverheadBytes;
  return stats;
}

}  // namespace protopage
