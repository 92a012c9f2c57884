#include "protopage/prototypes/table/table_log.h"

#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "protopage/base/check.h"
#include "protopage/base/nonce.h"
#include "protopage/base/status_macros.h"

namespace protopage {
namespace {

constexpr char kLock[] = "lock";
// A run that keeps up to 16 checkpoints has no more.
constexpr int64_t kMostOpenForReading = 32;
constexpr char kTemporary[] = ".tmp";  // Of a segment that was being created.

}  // namespace

TableLog::TableLog(FileSystem* file_system, std::string directory, const TableLogOptions& options,
                   bool read_only)
    : file_system_(file_system),
      directory_(std::move(directory)),
      options_(options),
      read_only_(read_only),
      files_(std::make_shared<LogFiles>(file_system, directory_,
                                        read_only ? LogFiles::kOpenedFirst : LogFiles::kUsedLast,
                                        options.open_segments)),
      merger_(file_system, directory_,
              {options.merge_segments, options.merge_bytes, options.index_bytes}, &index_) {}

// --- Opening -------------------------------------------------------------------------------------

absl::Status TableLog::LockDirectory() {
  const std::string path = JoinPath(directory_, kLock);
  PROTOPAGE_ASSIGN_OR_RETURN(lock_, file_system_->Open(path, OpenMode::kCreate));
  const absl::Status status = lock_->Lock();
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory_, ": already open for writing (", path, " is locked)"));
  }
  return status;
}

absl::StatusOr<std::unique_ptr<TableLog>> TableLog::Create(FileSystem* file_system,
                                                           const std::string& directory,
                                                           const TableLogOptions& options) {
  std::unique_ptr<TableLog> log(new TableLog(file_system, directory, options));
  PROTOPAGE_RETURN_IF_ERROR(file_system->CreateDirectories(directory));
  PROTOPAGE_RETURN_IF_ERROR(log->LockDirectory());
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> old,
                             LogSegment::List(file_system, directory));
  for (auto sequence = old.rbegin(); sequence != old.rend(); ++sequence) {
    PROTOPAGE_RETURN_IF_ERROR(file_system->Remove(LogSegment::Path(directory, *sequence)));
  }
  PROTOPAGE_RETURN_IF_ERROR(file_system->SyncDirectory(DirectoryOf(directory)));
  {
    const MutexLock lock(log->append_mutex_);
    PROTOPAGE_RETURN_IF_ERROR(log->StartSegment(1));
  }
  if (options.background) PROTOPAGE_RETURN_IF_ERROR(log->merger_.StartMerging());
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
  PROTOPAGE_RETURN_IF_ERROR(log->Load(checkpoint));
  if (options.background) PROTOPAGE_RETURN_IF_ERROR(log->merger_.StartMerging());
  return log;
}

absl::StatusOr<std::unique_ptr<TableLog>> TableLog::OpenReadOnly(FileSystem* file_system,
                                                                 const std::string& directory,
                                                                 int64_t checkpoint) {
  TableLogOptions options;
  options.open_segments = kMostOpenForReading;
  absl::Status status;
  // A writer may remove segments between the listing and the opening.
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::unique_ptr<TableLog> log(
        new TableLog(file_system, directory, options, /*read_only=*/true));
    status = log->Load(checkpoint);
    if (status.ok()) return log;
    if (!absl::IsUnavailable(status)) break;
  }
  return status;
}

absl::Status TableLog::Remove(FileSystem* file_system, const std::string& directory) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system->List(directory));
  bool all = true;
  for (const std::string& name : names) {
    const std::string path = JoinPath(directory, name);
    absl::string_view segment = name;
    absl::ConsumeSuffix(&segment, kTemporary);
    if ((name == kLock || LogSegment::SequenceOfName(segment) > 0) &&
        !file_system->IsDirectory(path)) {
      PROTOPAGE_RETURN_IF_ERROR(file_system->Remove(path));
    } else {
      all = false;
    }
  }
  return all ? file_system->RemoveDirectory(directory) : absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<LogSegment>>> TableLog::OpenSegments(
    absl::Span<const int64_t> sequences, int64_t checkpoint, absl::Status* damage) {
  std::vector<std::shared_ptr<LogSegment>> segments;
  for (const int64_t sequence : sequences) {
    absl::StatusOr<std::shared_ptr<LogSegment>> opened = LogSegment::Open(files_, sequence);
    if (absl::IsNotFound(opened.status())) {
      return absl::UnavailableError(opened.status().message());
    }
    if (absl::IsDataLoss(opened.status())) {
      *damage = opened.status();
      segments.push_back(nullptr);
      continue;
    }
    PROTOPAGE_RETURN_IF_ERROR(opened.status());
    segments.push_back(*opened);
    const LogSegment& segment = **opened;
    // The header names the checkpoint that the segment continues, even when the segment before was
    // merged and removed.
    if (segment.committed() && segment.checkpoint() == checkpoint) {
      index_.SetHead(LogPoint{sequence, checkpoint}, segment.tables());
      return segments;
    }
    if (segment.parent().checkpoint == checkpoint && checkpoint >= 0) {
      index_.SetHead(LogPoint{sequence - 1, checkpoint}, segment.parent().tables);
      return segments;
    }
    if (!segment.committed() && segment.parent().checkpoint < checkpoint) {
      *damage =
          segment.Damaged(absl::StrCat("the commit record, after checkpoint ",
                                       segment.parent().checkpoint, ", is missing or damaged"));
    }
  }
  const std::string message =
      absl::StrCat(directory_, ": no segment of the log holds checkpoint ", checkpoint);
  if (damage->ok()) return absl::NotFoundError(message);
  return absl::DataLossError(absl::StrCat(message, " (", damage->message(), ")"));
}

absl::Status TableLog::LoadRun(absl::Span<const std::shared_ptr<LogSegment>> segments,
                               const absl::Status& damage) {
  // Older segments, before a gap, were merged, but their removal was interrupted. When that is not
  // so, Attach finds out.
  const int64_t head = index_.head().sequence;
  std::vector<std::shared_ptr<LogSegment>> run;  // The newest first.
  int64_t wanted = head;
  for (auto s = segments.rbegin(); s != segments.rend(); ++s) {
    const std::shared_ptr<LogSegment>& segment = *s;
    if (segment == nullptr || segment->sequence() > head) continue;
    const bool chained = run.empty() || run.back()->parent().checkpoint == segment->checkpoint();
    if (segment->sequence() != wanted || !segment->committed() || !chained) break;
    run.push_back(segment);
    --wanted;
  }
  index_.SetGap(damage.ok() ? absl::StrCat(LogSegment::Path(directory_, wanted), " is missing")
                            : std::string(damage.message()));
  for (auto s = run.rbegin(); s != run.rend(); ++s) {
    PROTOPAGE_RETURN_IF_ERROR(index_.LoadSegment(*s));
  }
  return absl::OkStatus();
}

absl::Status TableLog::Load(int64_t checkpoint) {
  PROTOPAGE_ASSIGN_OR_RETURN(const std::vector<int64_t> sequences,
                             LogSegment::List(file_system_, directory_));
  {
    absl::Status damage;
    PROTOPAGE_ASSIGN_OR_RETURN(const auto segments, OpenSegments(sequences, checkpoint, &damage));
    const absl::Status status = LoadRun(segments, damage);
    if (absl::IsNotFound(status)) return absl::UnavailableError(status.message());
    PROTOPAGE_RETURN_IF_ERROR(status);
  }
  if (read_only_) return absl::OkStatus();
  // The newest are removed first, so that an interruption leaves a log.
  const int64_t next = index_.head().sequence + 1;
  for (auto sequence = sequences.rbegin(); sequence != sequences.rend(); ++sequence) {
    if (*sequence <= next) break;
    PROTOPAGE_RETURN_IF_ERROR(file_system_->Remove(LogSegment::Path(directory_, *sequence)));
  }
  const MutexLock lock(append_mutex_);
  return StartSegment(next);
}

absl::Status TableLog::Attach(int table, LoggedTable* logged, const LogPoint& main, int64_t merging,
                              bool* in_place) {
  return index_.Attach(table, logged, main, merging, directory_, in_place);
}

void TableLog::Detach(int table) {
  const MutexLock merging(merger_.merge_mutex());  // A merge may be using the table.
  index_.Detach(table);
}

// --- Appending and committing --------------------------------------------------------------------

absl::Status TableLog::StartSegment(int64_t sequence) {
  if (sequence > kMaxLogSequence) {
    return absl::ResourceExhaustedError(
        absl::StrCat(directory_, ": the log has had all of its ", kMaxLogSequence, " segments"));
  }
  const LogParent parent = {index_.head().checkpoint, index_.head_tables()};
  PROTOPAGE_ASSIGN_OR_RETURN(const uint64_t nonce, options_.nonce
                                                       ? absl::StatusOr<uint64_t>(options_.nonce())
                                                       : RandomNonce());
  PROTOPAGE_ASSIGN_OR_RETURN(current_, LogSegment::Create(files_, sequence, parent, nonce));
  index_.SetCurrent(current_);
  return absl::OkStatus();
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
  const MutexLock appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr);
  const int64_t bytes = index_.RecordBytes(table);
  PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace first,
                             current_->AppendRows(table, rows, records, bytes));
  index_.AddRows(table, rows, first, LogSegment::RecordBytes(bytes));
  return absl::OkStatus();
}

absl::Status TableLog::AppendClear(int table, int column) {
  const MutexLock appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr && column < kMaxLogColumns);
  PROTOPAGE_ASSIGN_OR_RETURN(const LogPlace place, current_->AppendClear(table, column));
  index_.AddClear(table, column, place, LogSegment::RecordBytes(0));
  return absl::OkStatus();
}

absl::Status TableLog::Commit(int64_t checkpoint) {
  const MutexLock appending(append_mutex_);
  PROTOPAGE_RETURN_IF_ERROR(poison_);
  PROTOPAGE_CHECK(current_ != nullptr);
  const int64_t newest = index_.head().checkpoint;
  if (checkpoint < 0 || checkpoint <= newest) {
    return absl::InvalidArgumentError(absl::StrCat(directory_, ": checkpoint ", checkpoint,
                                                   " does not come after ", newest,
                                                   ", the newest of the log"));
  }
  const LogPoint point{current_->sequence(), checkpoint};
  uint64_t tables = index_.head_tables();
  const std::array<LoggedTable*, kMaxLogTables> in_place = index_.TablesInPlace();
  for (int t = 0; t < kMaxLogTables; ++t) {
    if (in_place[t] == nullptr) continue;
    if (const absl::Status status = in_place[t]->FinishInPlace(point); !status.ok()) {
      return Poison(status);
    }
    tables |= uint64_t{1} << t;
  }
  PROTOPAGE_RETURN_IF_ERROR(current_->WriteCommit(checkpoint, tables, index_.CurrentDirectory()));
  if (const absl::Status status = current_->SyncCommit(); !status.ok()) return Poison(status);
  index_.Commit(point, tables);
  const absl::Status started = StartSegment(point.sequence + 1);
  return started.ok() ? started : Poison(started);
}

absl::Status TableLog::Retire(int64_t oldest) {
  index_.Retire(oldest);
  return merger_.MergeIfDue();
}

absl::Status TableLog::RetireNow(int64_t oldest) {
  index_.Retire(oldest);
  return merger_.MergeNow();
}

// --- Reading -------------------------------------------------------------------------------------

absl::Status TableLog::Read(int table, absl::Span<const int64_t> rows,
                            absl::Span<char* const> records, std::vector<LogFound>* found) {
  std::string missing;
  while (true) {
    const LogLookup lookup = index_.Find(table, rows, found);
    const absl::Status status =
        ReadLogRecords(lookup.segments, table, lookup.bytes, lookup.wanted, rows, records);
    if (!absl::IsNotFound(status)) return status;
    // A merge removed the segment since the lookup.
    if (read_only_) {
      return absl::AbortedError(absl::StrCat(status.message(),
                                             "; the run has merged it, checkpoint ",
                                             index_.head().checkpoint, " must be opened again"));
    }
    // Its rows left the index before, so they are looked up where they are. If they did not leave
    // it, somebody else removed the file.
    if (status.message() == missing) {
      return absl::DataLossError(absl::StrCat(missing, "; the log ", directory_, " needs it"));
    }
    missing = std::string(status.message());
  }
}

}  // namespace protopage
