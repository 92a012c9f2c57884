#include "protopage/data/check_images.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "protopage/base/divide_up.h"
#include "protopage/base/mutex.h"
#include "protopage/base/status_macros.h"
#include "protopage/base/stopwatch.h"
#include "protopage/data/decode_image.h"

namespace protopage {
namespace {

// Most headers end before this, most small images as a whole.
constexpr int64_t kBeginBytes = 32 << 10;
constexpr int64_t kEndBytes = 12;  // As HasImageEnd needs.

// Records that a thread checks at a time, and of which progress is reported.
constexpr int64_t kBlock = 64;
constexpr int64_t kRound = 16384;

// The first failure of a check that runs on several threads.
class FirstFailure {
 public:
  void Add(int64_t record, absl::Status status) {
    const MutexLock lock(mutex_);
    ++count_;
    if (record_ >= 0 && record_ < record) return;
    record_ = record;
    status_ = std::move(status);
  }
  absl::Status Status(int64_t size) const {
    const MutexLock lock(mutex_);
    if (count_ <= 1) return status_;
    return absl::Status(status_.code(), absl::StrCat(status_.message(), "; ", count_ - 1,
                                                     " more of ", size, " images cannot be read"));
  }

 private:
  mutable Mutex mutex_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t record_ ABSL_GUARDED_BY(mutex_) = -1;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status CheckImageFile(FileSystem* fs, const std::string& path, const DecodeOptions& options) {
  PROTOPAGE_ASSIGN_OR_RETURN(const PathInfo info, fs->Info(path));
  if (info.kind != PathInfo::Kind::kFile) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ",
        info.kind == PathInfo::Kind::kDirectory ? "a folder" : "a pipe, a socket or a device",
        ", expected an image file"));
  }
  PROTOPAGE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs->Open(path, OpenMode::kRead));
  PROTOPAGE_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  std::string begin(std::min(size, kBeginBytes), '\0');
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &begin[0], begin.size()));
  std::string end(std::min(size, kEndBytes), '\0');
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(size - end.size(), &end[0], end.size()));
  absl::Status header = ReadImageHeader(begin, path, options).status();
  if (absl::IsDataLoss(header) && size > kBeginBytes) {
    begin.resize(size);
    PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &begin[0], size));
    header = ReadImageHeader(begin, path, options).status();
  }
  PROTOPAGE_RETURN_IF_ERROR(header);
  if (HasImageEnd(begin, end)) return absl::OkStatus();
  begin.resize(size);
  PROTOPAGE_RETURN_IF_ERROR(file->ReadAt(0, &begin[0], size));
  Image image;
  return DecodeImage(begin, path, options, &image);
}

absl::Status CheckImages(const ImageSource& source, absl::string_view what, ThreadPool* pool,
                         const ProgressFunction& progress) {
  if (!source.has_files()) return absl::OkStatus();
  const std::string shown = absl::StrCat("checking images of ", what);
  const int64_t size = source.size();
  const Stopwatch stopwatch;
  bool shows = false;
  FirstFailure failure;
  for (int64_t first = 0; first < size; first += kRound) {
    const int64_t last = std::min(first + kRound, size);
    pool->ParallelFor(DivideUp(last - first, kBlock), [&](int64_t block) {
      const int64_t begin = first + block * kBlock;
      for (int64_t record = begin; record < std::min(begin + kBlock, last); ++record) {
        absl::Status status = source.Check(record);
        if (!status.ok()) failure.Add(record, std::move(status));
      }
    });
    if (progress == nullptr) continue;
    if (!shows && last < size && stopwatch.Seconds() > 1) {
      shows = true;
      progress(shown, 0, size);
    }
    if (shows) progress(shown, last, size);
  }
  return failure.Status(size);
}

}  // namespace protopage
