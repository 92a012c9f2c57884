#include "protopage/prototypes/table/log_files.h"

#include <algorithm>
#include <utility>

#include "protopage/base/status_macros.h"

namespace protopage {

LogFiles::LogFiles(FileSystem* file_system, std::string directory, Kept kept, int64_t most_open)
    : file_system_(file_system),
      directory_(std::move(directory)),
      kept_(kept),
      most_open_(most_open) {}

std::shared_ptr<File> LogFiles::Take(int64_t sequence) {
  const auto at = std::find_if(open_.begin(), open_.end(),
                               [&](const OpenFile& f) { return f.sequence == sequence; });
  if (at == open_.end()) return nullptr;
  std::shared_ptr<File> file = std::move(at->file);
  open_.erase(at);
  return file;
}

absl::StatusOr<std::shared_ptr<File>> LogFiles::Open(int64_t sequence, const std::string& path,
                                                     absl::FunctionRef<absl::Status(File*)> check) {
  {
    const MutexLock lock(mutex_);
    const auto at = std::find_if(open_.begin(), open_.end(),
                                 [&](const OpenFile& f) { return f.sequence == sequence; });
    if (at != open_.end()) {
      if (kept_ == kUsedLast) std::rotate(at, at + 1, open_.end());
      return kept_ == kUsedLast ? open_.back().file : at->file;
    }
  }
  PROTOPAGE_ASSIGN_OR_RETURN(std::unique_ptr<File> opened,
                             file_system_->Open(path, OpenMode::kRead));
  PROTOPAGE_RETURN_IF_ERROR(check(opened.get()));
  const std::shared_ptr<File> file = std::move(opened);
  Add(sequence, file);
  return file;
}

void LogFiles::Add(int64_t sequence, std::shared_ptr<File> file) {
  std::vector<std::shared_ptr<File>> closed;  // Outlives the lock.
  const MutexLock lock(mutex_);
  closed.push_back(Take(sequence));
  open_.push_back({sequence, std::move(file)});
  while (static_cast<int64_t>(open_.size()) > most_open_) {
    const auto last = kept_ == kUsedLast ? open_.begin() : open_.end() - 1;
    closed.push_back(std::move(last->file));
    open_.erase(last);
  }
}

void LogFiles::Close(int64_t sequence) {
  std::shared_ptr<File> closed;  // Outlives the lock.
  const MutexLock lock(mutex_);
  closed = Take(sequence);
}

int64_t LogFiles::num_open() const {
  const MutexLock lock(mutex_);
  return static_cast<int64_t>(open_.size());
}

}  // namespace protopage
